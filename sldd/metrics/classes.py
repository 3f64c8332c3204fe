"""Metrics of images of one class each: balanced accuracy, macro one-against-rest AUC, accuracy, the confusion matrix.

Balanced accuracy is the mean over the classes of their sensitivity; AUC and accuracy are MedMNIST's own (Yang et al.,
Scientific Data 2023). A metric of a class that is undefined, since no scored film is of the class or all are, enters
no mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from sldd.data.whole_films import WholeFilms
from sldd.metrics.evaluators import Predict, SelectionKey
from sldd.metrics.film_evaluator import film_probabilities
from sldd.metrics.multilabel import Interval, interval, mean_of_defined, ranked, resampled
from sldd.metrics.patient_votes import as_they_are
from sldd.ops.types import Seen

MACRO = ("balanced_accuracy", "auc", "accuracy")
BY_CLASS = ("sensitivity", "specificity", "auc")


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Probabilities of films of one class each; states are compared by the mean of macro AUC, which moves with every
    film, and balanced accuracy.

    Attributes:
        classes: names.
        patients: (films,) number of the patient of each.
        truth: (films,) int64 numbers of classes.
        probabilities: (films, classes).
    """

    classes: Sequence[str]
    patients: list[int]
    truth: np.ndarray
    probabilities: np.ndarray

    def _measured(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics in each resample of films.

        Args:
            weights: (resamples, films) how often each film is in a resample.

        Returns:
            MACRO by name, (resamples,) each, and BY_CLASS by name after ``of_``, (resamples, classes) each; NaN where
            undefined.
        """
        numbers = np.arange(len(self.classes))
        is_true = np.equal.outer(self.truth, numbers)  # (films, classes)
        is_called = np.equal.outer(self.probabilities.argmax(1), numbers)
        total = weights.sum(1, keepdims=True)
        positives = weights @ is_true
        true_calls, false_calls = weights @ (is_true & is_called), weights @ (is_called & ~is_true)
        auc = np.stack([ranked(weights, is_true[:, k], self.probabilities[:, k])[0] for k in numbers], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            sensitivity = true_calls / positives
            return {
                "of_sensitivity": sensitivity,
                "of_specificity": 1 - false_calls / (total - positives),
                "of_auc": auc,
                "balanced_accuracy": mean_of_defined(sensitivity),
                "auc": mean_of_defined(auc),
                "accuracy": true_calls.sum(1) / total[:, 0],
            }

    def _once(self) -> dict[str, np.ndarray]:
        """``_measured`` of all films, each once: a single row."""
        return self._measured(np.ones((1, len(self.truth))))

    @property
    def _macro(self) -> dict[str, float | None]:
        found = self._once()
        return {name: _plain(found[name][0]) for name in MACRO}

    @property
    def key(self) -> SelectionKey:
        macro = self._macro
        balanced, auc = macro["balanced_accuracy"] or 0.0, macro["auc"] or 0.0
        return ((balanced + auc) / 2, balanced, auc)

    @property
    def headline(self) -> float:
        return self._macro["balanced_accuracy"] or 0.0

    def history(self) -> dict[str, float | None]:
        return {f"val_{name}": value for name, value in self._macro.items()}

    @property
    def threshold(self) -> None:
        return None

    def describe(
        self, pseudonyms: Sequence[str], delta: float | None, intervals_of: int | None = None
    ) -> dict[str, Any]:
        """Macro averages, each class, the confusion matrix (true classes down), and every film."""
        once, classes = self._once(), range(len(self.classes))
        kept: dict[str, Any] = {name: _plain(once[name][0]) for name in MACRO}
        rows: list[dict[str, Any]] = [
            {"class": self.classes[number], "films": int((self.truth == number).sum())}
            | {name: _plain(once[f"of_{name}"][0, number]) for name in BY_CLASS}
            for number in classes
        ]
        if intervals_of is not None:
            drawn = [self._measured(weights) for weights in resampled(self.patients, intervals_of, 1000, "classes")]
            for name in MACRO:
                kept |= _ends(name, interval(np.concatenate([each[name] for each in drawn]), 0.95))
            for name in BY_CLASS:
                values = np.concatenate([each[f"of_{name}"] for each in drawn])
                for row, column in zip(rows, values.T, strict=True):
                    row |= _ends(name, interval(column, 0.95))
        told = self.probabilities.argmax(1)
        confusion = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(confusion, (self.truth, told), 1)
        return kept | {
            "defined_classes": int((confusion.sum(1) > 0).sum()),
            "classes": rows,
            "confusion": confusion.tolist(),
            "films": [
                {"patient": pseudonyms[patient], "class": number, "probabilities": probabilities}
                for patient, number, probabilities in zip(
                    self.patients, self.truth.tolist(), self.probabilities.tolist(), strict=True
                )
            ],
        }


class ClassEvaluator:
    """Evaluates films of one class each.

    Args:
        films: what is scored.
        classes: names of the classes.
        numbers: (films of the cohort,) the class of each.
    """

    def __init__(self, films: WholeFilms, classes: Sequence[str], numbers: np.ndarray) -> None:
        self._films, self._classes, self._numbers = films, classes, numbers

    def score(
        self,
        predict: Predict,
        patients: Sequence[int],
        *,
        batch: int,
        device: torch.device,
        seen: Seen = as_they_are,
    ) -> ClassScores:
        films, found = film_probabilities(
            predict, partial(torch.softmax, dim=1), self._films, patients, batch=batch, device=device, seen=seen
        )
        whose = [self._films.cohort.film_patients[film] for film in films]
        return ClassScores(self._classes, whose, self._numbers[films], found)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _ends(name: str, found: Interval) -> dict[str, float | None]:
    return {f"{name}_low": found.low, f"{name}_high": found.high}
