"""Multilabel metrics: AUC, average precision and Hamming loss by class, their means, and bootstrap intervals.

A class without a positive or without a negative film has no AUC; its average precision would be 0 or 1 whatever the
network says, and its Hamming loss would count one kind of mistake only. Such a class is undefined (None) in all three,
and the means are over the other classes, which are named. Films of which a finding is not known count nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import average_precision_score, hamming_loss, roc_auc_score

from sldd.data.multilabel_batches import label_counts
from sldd.rng import stream

Metric = Literal["auc", "average_precision", "hamming_loss"]
METRICS: tuple[Metric, ...] = ("auc", "average_precision", "hamming_loss")
_DRAWN = 4_000_000
"""Weights of films drawn at a time: bounds the memory, whatever the cohort."""


@dataclass(frozen=True)
class Interval:
    """Percentiles over resamples; None where fewer than half of them had both kinds of film."""

    low: float | None
    high: float | None
    resamples: int
    """How many had both kinds."""


@dataclass(frozen=True)
class FindingScores:
    """Metrics of a group of films; lists have an entry a class, None where undefined."""

    classes: list[str]
    positives: list[int]
    negatives: list[int]
    auc: list[float | None]
    average_precision: list[float | None]
    hamming_loss: list[float | None]

    @property
    def defined(self) -> list[str]:
        """The classes that the means are over."""
        return [name for name, value in zip(self.classes, self.auc, strict=True) if value is not None]

    def mean(self, metric: Metric) -> float | None:
        """Macro average of a metric over the ``defined`` classes; None where there is none."""
        values = [value for value in getattr(self, metric) if value is not None]
        return float(np.mean(values)) if values else None


def call_positive(probabilities: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """(films, classes) bool: which findings are called, by the published rule of odds, p > (1 - p) n_pos / n_neg.

    A finding is called where its probability p is above the share of films that have it, n_pos / (n_pos + n_neg).
    Without negatives nothing is called.

    Args:
        probabilities: (films, classes).
        positives, negatives: (classes,) counts. Published: of the films that are scored. Ours: of the training films,
            as the labels of what is scored are not to be known.
    """
    called: np.ndarray = probabilities * negatives > (1 - probabilities) * positives
    return called


def score_findings(
    classes: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, counts: tuple[np.ndarray, np.ndarray]
) -> FindingScores:
    """Compute the metrics of films.

    Args:
        classes: names.
        labels: (films, classes): 0, 1 or NaN.
        probabilities: (films, classes).
        counts: ``label_counts`` of the films that the thresholds come from.
    """
    called = call_positive(probabilities, *counts)
    positives, negatives = label_counts(labels)
    found: dict[str, list[float | None]] = {metric: [] for metric in METRICS}
    for number in range(len(classes)):
        known = ~np.isnan(labels[:, number])
        truth, score = labels[known, number].astype(int), probabilities[known, number]
        if not positives[number] or not negatives[number]:
            for values in found.values():
                values.append(None)
            continue
        found["auc"].append(float(roc_auc_score(truth, score)))
        found["average_precision"].append(float(average_precision_score(truth, score)))
        found["hamming_loss"].append(float(hamming_loss(truth, called[known, number].astype(int))))
    return FindingScores(list(classes), positives.tolist(), negatives.tolist(), **found)


def bootstrap_findings(
    labels: np.ndarray,
    probabilities: np.ndarray,
    counts: tuple[np.ndarray, np.ndarray],
    patients: Sequence[int],
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[Metric, tuple[list[Interval], Interval]]:
    """Intervals of every metric, for each class and for the mean, over resampled patients.

    A resample draws patients with replacement and takes all films of each: films of a patient are alike. A class that a
    resample has no positive or no negative film of is left out of that resample, from the mean as well.

    Args:
        patients: (films,) whose they are.
        seed: of the random stream.
        level: share of the resamples between the bounds.
    """
    positives, negatives = label_counts(labels)
    defined = (positives > 0) & (negatives > 0)
    wrong = (call_positive(probabilities, *counts) != (labels == 1)).astype(np.float64)
    drawn: dict[Metric, list[np.ndarray]] = {metric: [] for metric in METRICS}
    for weights in resampled(patients, seed, resamples, "findings"):
        values = {metric: np.full((len(weights), labels.shape[1]), np.nan) for metric in METRICS}
        for number in np.flatnonzero(defined):
            known = ~np.isnan(labels[:, number])
            of_class = weights[:, known]
            auc, precision = ranked(of_class, labels[known, number] == 1, probabilities[known, number])
            with np.errstate(invalid="ignore"):  # no film at all
                loss = of_class @ wrong[known, number] / of_class.sum(1)
            values["auc"][:, number], values["average_precision"][:, number] = auc, precision
            values["hamming_loss"][:, number] = np.where(np.isnan(auc), np.nan, loss)  # undefined where the AUC is
        for metric in METRICS:
            drawn[metric].append(values[metric])
    return {metric: _intervals(np.concatenate(drawn[metric]), level) for metric in METRICS}


def resampled(patients: Sequence[int], seed: int, resamples: int, name: str) -> Iterator[np.ndarray]:
    """How often each film is in each resample of patients, by the random stream ``name``.

    Args:
        patients: (films,) whose they are; a patient's films are drawn together.

    Yields:
        (some resamples, films) float64, as many resamples at a time as memory allows, until there are ``resamples``.
    """
    different, row_of_film = np.unique(np.asarray(patients), return_inverse=True)
    chance = np.full(len(different), 1 / len(different))
    at_once = max(1, _DRAWN // max(len(row_of_film), 1))
    random = stream(seed, "bootstrap", name)
    for begin in range(0, resamples, at_once):
        times = random.multinomial(len(different), chance, min(at_once, resamples - begin))
        yield times[:, row_of_film].astype(np.float64)


def ranked(weights: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC and average precision of one class in each resample of films, from a single ranking of all films.

    Args:
        weights: (resamples, films) how often each film is in a resample.
        truth: (films,) bool.
        scores: (films,), higher for the class.

    Returns:
        (resamples,) each; NaN where a resample has no positive or no negative film.
    """
    order = np.argsort(-scores, kind="stable")
    ranking = scores[order]
    # Films of equal score are one step of the ranking: columns are steps from here on, the highest score first.
    steps = np.flatnonzero(np.r_[True, ranking[1:] != ranking[:-1]])
    positive = np.add.reduceat(weights[:, order] * truth[order], steps, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~truth[order], steps, axis=1)
    # Called positive with the threshold at a step's score: that step and all before it.
    true_calls, false_calls = positive.cumsum(1), negative.cumsum(1)
    positives, negatives = true_calls[:, -1], false_calls[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        # Pairs that are in order: a negative film with the positive ones above it, and by half with those beside it.
        auc = (negative * (true_calls - positive / 2)).sum(1) / (positives * negatives)
        calls = true_calls + false_calls
        precision = np.where(calls > 0, true_calls / np.where(calls > 0, calls, 1), 0)
        average = (positive * precision).sum(1) / positives
    return auc, np.where(negatives > 0, average, np.nan)


def _intervals(values: np.ndarray, level: float) -> tuple[list[Interval], Interval]:
    """Intervals of each class, and of the mean over classes, from (resamples, classes)."""
    return [interval(column, level) for column in values.T], interval(mean_of_defined(values), level)


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """(resamples,) mean over the classes that are defined, of (resamples, classes); NaN where none is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.where(defined, values, 0).sum(1) / defined.sum(1)
    return means


def interval(values: np.ndarray, level: float) -> Interval:
    """Percentile interval of resampled values; without ends where more than half of them are undefined (NaN)."""
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values) or not len(defined):
        return Interval(None, None, len(defined))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), len(defined))
