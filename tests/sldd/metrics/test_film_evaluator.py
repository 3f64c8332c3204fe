"""Scores of films with findings: what is described is what the metrics and their bootstrap give."""

from __future__ import annotations

import numpy as np

from sldd.data.multilabel_batches import label_counts
from sldd.metrics.film_evaluator import FilmScores
from sldd.metrics.multilabel import METRICS, bootstrap_findings


def test_intervals_are_those_of_the_bootstrap_each_at_its_own_end_and_class() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((40, 2)) < [0.5, 0.3]).astype(float)
    probabilities, patients = (labels + random.random((40, 2))) / 2, [film // 2 for film in range(40)]
    labels[0, 1] = np.nan
    counts = label_counts(labels)
    scores = FilmScores(["a", "b"], patients, labels, probabilities, counts)
    described = scores.describe([f"P{number}" for number in range(20)], None, intervals_of=3)
    for metric, (each, mean) in bootstrap_findings(labels, probabilities, counts, patients, seed=3).items():
        assert (described[f"{metric}_low"], described[f"{metric}_high"]) == (mean.low, mean.high)
        found = [(row[f"{metric}_low"], row[f"{metric}_high"]) for row in described["classes"]]
        assert found == [(one.low, one.high) for one in each]
        assert described[metric] == scores.scores.mean(metric)
    assert described.keys() >= set(METRICS)
    films = [(film["labels"], film["probabilities"]) for film in described["films"]]
    assert films[0] == ([int(labels[0, 0]), None], probabilities[0].tolist())
