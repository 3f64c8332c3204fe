"""Bootstrap of mean AUCs over runs that scored the same patients: patients and seeds are drawn together.

Of patients with a score each, or of films with a probability for each class. The same draws serve everything that is
compared, so that differences are paired by patient and by seed. Of few seeds, what these differ by is drawn a little
too small (a share of 1 / seeds of its variance).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sldd.errors import InputError
from sldd.metrics.intervals import Estimate
from sldd.metrics.multilabel import ranked
from sldd.rng import stream

DRAWS = 2_000
_OF_FILMS = 1_000
_AT_ONCE = 4_000_000
"""Weights of films that are in memory at a time."""
_LEVEL = 0.95


class AucBootstrap:
    """Draws of patients, each label by itself, and of seeds.

    Args:
        labels: (patients,) 0 or 1.
        seeds: runs.

    Raises:
        InputError: a label is absent.
    """

    def __init__(self, labels: np.ndarray, seeds: int, draws: int = DRAWS) -> None:
        random = stream(0, "auc bootstrap")
        self._groups = [np.flatnonzero(labels == label) for label in (1, 0)]
        if not all(map(len, self._groups)):
            raise InputError("an AUC needs positive and negative patients, and one label is absent")
        sizes = [*map(len, self._groups), seeds]
        # The first row is what was seen: everybody once.
        drawn = [random.multinomial(size, np.full(size, 1 / size), size=draws) for size in sizes]
        self._positive, self._negative, self._seeds = (
            np.concatenate([np.ones((1, size)), times]) for size, times in zip(sizes, drawn, strict=True)
        )

    def aucs(self, scores: np.ndarray) -> np.ndarray:
        """(1 + draws,) mean AUCs: as seen, then by draw.

        Args:
            scores: (seeds, patients), or (1, patients) of what no seed changes.
        """
        positive, negative = self._groups
        each = []
        for run in scores:
            above = 0.5 + 0.5 * np.sign(run[positive][:, None] - run[negative][None, :])
            found = ((self._positive @ above) * self._negative).sum(1)
            each.append(found / (len(positive) * len(negative)))
        if len(each) == 1:
            return np.asarray(each[0])
        mean: np.ndarray = (np.stack(each, 1) * self._seeds).sum(1) / len(each)
        return mean


class FilmAucBootstrap:
    """Draws of patients, with all films of each, and of seeds: for the mean one-against-rest AUC over classes.

    Args:
        patients: (films,) whose they are.
        truth: (films, classes) 0, 1 or NaN where it is not known.
        seeds: runs.

    Raises:
        InputError: no class has films of it and others.
    """

    def __init__(self, patients: Sequence[int], truth: np.ndarray, seeds: int, draws: int = _OF_FILMS) -> None:
        self._truth = truth
        self._classes = [number for number, column in enumerate(truth.T) if {0.0, 1.0} <= set(column.tolist())]
        if not self._classes:
            raise InputError("an AUC needs films of a class and films of others, and there is no such class")
        random = stream(0, "auc bootstrap", "films")
        names, self._places = np.unique(np.asarray(patients), return_inverse=True)
        sizes = (len(names), seeds)
        drawn = [random.multinomial(size, np.full(size, 1 / size), size=draws) for size in sizes]
        self._patients, self._seeds = (
            np.concatenate([np.ones((1, size), np.int64), times]) for size, times in zip(sizes, drawn, strict=True)
        )

    def aucs(self, scores: np.ndarray) -> np.ndarray:
        """(1 + draws,) mean AUCs, as of ``AucBootstrap``; NaN where a draw has no class with both kinds.

        Args:
            scores: (seeds, films, classes), or (1, films, classes) of what no seed changes.
        """
        each = [np.concatenate([self._means(run, rows) for rows in self._parts()]) for run in scores]
        if len(each) == 1:
            return each[0]
        mean: np.ndarray = (np.stack(each, 1) * self._seeds).sum(1) / len(each)
        return mean

    def _parts(self) -> list[np.ndarray]:
        at_once = max(1, _AT_ONCE // len(self._places))
        return np.array_split(self._patients, -(-len(self._patients) // at_once))

    def _means(self, run: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """(draws,) mean AUC over the classes that each draw has."""
        weights = drawn[:, self._places].astype(np.float64)
        found = np.empty((len(weights), len(self._classes)))
        for place, number in enumerate(self._classes):
            known = ~np.isnan(self._truth[:, number])
            found[:, place], _ = ranked(weights[:, known], self._truth[known, number] == 1, run[known, number])
        there = ~np.isnan(found)
        with np.errstate(invalid="ignore"):
            means: np.ndarray = np.where(there, found, 0).sum(1) / there.sum(1)
        return means


def estimate(values: np.ndarray) -> Estimate:
    """The value as seen (the first) and the interval that the draws (the others, if known) give."""
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], method="inverted_cdf")
    return Estimate(float(values[0]), float(low), float(high))
