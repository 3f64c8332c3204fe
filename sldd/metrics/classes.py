"""Metrics of images of one class each: balanced accuracy, macro one-against-rest AUC, accuracy, the confusion matrix.

Balanced accuracy is the mean over the classes of their sensitivity; AUC and accuracy are MedMNIST's own (Yang et al.,
Scientific Data 2023). A class that nothing that is scored is of, or everything, is undefined and enters no mean.
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
from sldd.metrics.multilabel import Interval, interval, ranked, resampled
from sldd.metrics.patient_votes import as_they_are
from sldd.ops.types import Seen

MACRO = ("balanced_accuracy", "auc", "accuracy")
BY_CLASS = ("sensitivity", "specificity", "auc")


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Probabilities of films of one class each; states are compared by the mean of macro AUC, which moves with every
    film, and balanced accuracy.

    Attributes:
        patients: of each film, numbers.
        truth: (films,) int64 classes.
        probabilities: (films, classes).
    """

    classes: Sequence[str]
    patients: list[int]
    truth: np.ndarray
    probabilities: np.ndarray

    def _measured(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """MACRO as (resamples,) and BY_CLASS, after ``of_``, as (resamples, classes), of films that count ``weights``
        (resamples, films) times; NaN where undefined."""
        told = self.probabilities.argmax(1)
        true, called = (np.equal.outer(each, np.arange(len(self.classes))) for each in (self.truth, told))
        total = weights.sum(1, keepdims=True)
        there = weights @ true
        right, wrong = weights @ (true & called), weights @ (called & ~true)
        auc = np.stack([ranked(weights, *pair)[0] for pair in zip(true.T, self.probabilities.T, strict=True)], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {"of_sensitivity": right / there, "of_specificity": 1 - wrong / (total - there), "of_auc": auc}
            found |= {
                "balanced_accuracy": _mean(found["of_sensitivity"]),
                "auc": _mean(auc),
                "accuracy": right.sum(1) / total[:, 0],
            }
        return found

    def _once(self) -> dict[str, np.ndarray]:
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


def _mean(values: np.ndarray) -> np.ndarray:
    """(resamples,) mean over the classes that are defined."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(1) / known.sum(1)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _ends(name: str, found: Interval) -> dict[str, float | None]:
    return {f"{name}_low": found.low, f"{name}_high": found.high}
