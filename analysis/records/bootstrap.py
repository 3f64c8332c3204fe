"""Bootstrap over patients: the scores that runs would have had on other test patients of the same kind.

Which test patients a hospital happened to have is luck. Each resample draws them again with replacement, positive and
negative ones apart, the *same* patients for every run, so that what makes a patient hard does not count as a difference
between image counts or between images and ordinary training (Efron & Tibshirani, "An Introduction to the Bootstrap",
1993). Which random starts were drawn is luck too: `analysis.stats.seeds`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

DRAWS = 4_000_000  # patients drawn at a time: bounds the memory, whatever the cohort


class Resampled(NamedTuple):
    """Scores of several runs, on the patients as they are and on bootstrap resamples of them.

    Attributes:
        scores: (runs,) on the patients as they are.
        drawn: (runs, resamples) on resampled patients, the same ones for every run.
        patients: effective number of patients behind a score (`worth`).
    """

    scores: np.ndarray
    drawn: np.ndarray
    patients: float


def worth(counts: Iterable[int]) -> float:
    """Effective sample size of a mean over K classes: K^2 / sum(1 / n_k), with n_k patients (`counts`) in class k.

    That many patients of one kind make their share as sure as the mean of the K shares is. Classes without patients are
    left out; 0.0 where none has any.
    """
    known = [1 / count for count in counts if count > 0]
    return len(known) ** 2 / sum(known) if known else 0.0


def generator(*names: object) -> np.random.Generator:
    """Random numbers that depend on `names` alone: not on what else is analysed, or when."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, names)).encode()))


def harmonic_mean(sensitivity: np.ndarray | float, specificity: np.ndarray | float) -> np.ndarray:
    """HM = 2 Sen Spe / (Sen + Spe), 0 where both are 0; of any shape."""
    product, total = np.multiply(sensitivity, specificity), np.add(sensitivity, specificity)
    return np.divide(2 * product, total, out=np.zeros(np.shape(total)), where=total != 0)


def hms(calls: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(runs,) HM of each run on the patients as they are; arguments and errors as in `resample`."""
    return harmonic_mean(*(right.mean(axis=1) for right in _right(calls, labels)))


def resample(calls: np.ndarray, labels: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(runs, resamples) HM of each run on resampled patients.

    Args:
        calls: (runs, patients) bool, true where the run called the patient positive.
        labels: (patients,) bool, true for positive patients; both kinds have to be there.
        rng: see `generator`. The same one draws the same patients, whatever runs there are.

    Raises:
        ValueError: a label is absent, so that HM is undefined.
    """
    return harmonic_mean(*(_resampled_means(right, resamples, rng) for right in _right(calls, labels)))


def _right(calls: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(runs, positive patients) and (runs, negative patients): where the call is the label."""
    if labels.all() or not labels.any():
        raise ValueError("HM needs positive and negative patients")
    return calls[:, labels], ~calls[:, ~labels]


def _resampled_means(right: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(runs, resamples): the share of `right` (runs, patients) in as many patients drawn with replacement."""
    patients = right.shape[1]
    values = right.T.astype(np.float32)  # sums of whole numbers, far below where float32 would round
    block = max(1, DRAWS // patients)
    sums = [
        _times_drawn(patients, min(block, resamples - start), rng).astype(np.float32) @ values
        for start in range(0, resamples, block)
    ]
    return np.concatenate(sums).T.astype(np.float64) / patients


def _times_drawn(items: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, items): how often each item comes up in `items` draws with replacement."""
    places = rng.integers(items, size=(resamples, items)) + items * np.arange(resamples)[:, None]
    return np.bincount(places.ravel(), minlength=items * resamples).reshape(resamples, items)
