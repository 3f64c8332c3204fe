"""Votes of folds put together, and their AUC with its interval (``benchmarks.distillation.lungs``)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from sldd.metrics.patient_votes import Votes


def pooled(runs: list[dict[str, Any]]) -> Votes:
    """The patients of all folds together."""
    return Votes(
        patients=[patient for run in runs for patient in run["patients"]],
        labels=np.concatenate([run["labels"] for run in runs]),
        counts=np.concatenate([run["counts"] for run in runs]),
        confusion=sum((np.array(run["confusion"]) for run in runs), np.zeros((3, 3), np.int64)),
    )


def pooled_auc(ones: list[Votes], others: list[Votes] | None = None, draws: int = 2000) -> tuple[float, float, float]:
    """Pooled AUC of ``ones``, less that of ``others`` where given, a member a seed, averaged over seeds; with a 95 %
    interval from a bootstrap over patients and seeds, paired by both. Patients who were scored in several folds, as
    validation patients are, are drawn with all of their scores.

    Raises:
        ValueError: the patients are not the same, in the same order.
    """
    if any(votes.patients != ones[0].patients for votes in (*ones, *(others or []))):
        raise ValueError("not the same patients, in the same order")
    labels, rows_of = ones[0].labels, defaultdict(list)
    for row, patient in enumerate(ones[0].patients):
        rows_of[patient].append(row)
    rows = [np.array(each) for each in rows_of.values()]
    scores = [[one.scores] for one in ones]
    for seed, other in enumerate(others or []):
        scores[seed].append(other.scores)
    random = np.random.default_rng(0)

    def mean(drawn: np.ndarray, seeds: np.ndarray) -> float:
        aucs = [[roc_auc_score(labels[drawn], score[drawn]) for score in scores[seed]] for seed in seeds]
        return float(np.mean([first - sum(rest) for first, *rest in aucs]))

    found = []
    for _ in range(draws):
        picked = np.concatenate([rows[patient] for patient in random.integers(len(rows), size=len(rows))])
        if len(set(labels[picked].tolist())) == 2:
            found.append(mean(picked, random.integers(len(scores), size=len(scores))))
    middle = mean(np.arange(len(labels)), np.arange(len(scores)))
    return middle, float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))
