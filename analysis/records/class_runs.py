"""Runs on images of one class each: probabilities of all test images of one cell at one seed, and their balanced
accuracy.

The counterpart of `analysis.records.patient_runs`. Resampling draws subjects, and all images of each: as of films with
findings, so a class counts in a resample that has images of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.records.bootstrap import Resampled
from analysis.records.multilabel_runs import FilmRun, resampled_runs


class ClassRun(FilmRun):
    """As of `FilmRun`, with a single 1 in each row of `labels`."""

    @property
    def balanced_accuracy(self) -> float:
        """Mean over the classes of the share of its images that are told."""
        once = np.ones((1, len(self.patients)))
        return float(balanced_accuracy(once, self.labels, self.probabilities)[0])

    @property
    def accuracy(self) -> float:
        """Share of images whose class is told."""
        return float((self.labels.argmax(1) == self.probabilities.argmax(1)).mean())

    @property
    def known_by(self) -> list[int]:
        """By how many subjects each class is known: those who have images of it, whose share is told."""
        return self.patients_of(self.labels == 1)

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "test_balanced_accuracy": self.balanced_accuracy,
            "test_auc": self.auc,
            "test_accuracy": self.accuracy,
        }


def pooled_class_run(results: Sequence[Mapping[str, Any]]) -> ClassRun | None:
    """The run that confirm trials with these results (one a fold) make up; None where one holds no images."""
    try:
        films = [film for result in results for film in result["test"]["films"]]
        patients = tuple(str(film["patient"]) for film in films)
        probabilities = np.array([film["probabilities"] for film in films], np.float64)
        labels = np.eye(probabilities.shape[1])[np.array([film["class"] for film in films], np.int64)]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    return ClassRun(patients, labels, probabilities) if len(films) else None


def balanced_accuracy(weights: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(resamples,) mean sensitivity of the classes that have images, which count `weights` (resamples, images) times;
    NaN where none has."""
    right = labels * (labels.argmax(1) == probabilities.argmax(1))[:, None]
    there, told = weights @ labels, weights @ right
    shares = np.divide(told, there, out=np.zeros(there.shape), where=there > 0)
    known = (there > 0).sum(axis=1)
    return np.divide(shares.sum(axis=1), known, out=np.full(len(weights), np.nan), where=known > 0)


def resampled_balanced_accuracies(
    runs: Sequence[ClassRun], beside: Sequence[ClassRun], resamples: int, rng: np.random.Generator
) -> Resampled | None:
    """As `resampled_aucs` of films with findings, of balanced accuracy."""
    return resampled_runs(runs, beside, resamples, rng, balanced_accuracy)
