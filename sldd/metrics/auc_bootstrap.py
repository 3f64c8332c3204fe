"""Bootstrap of mean AUCs over runs that scored the same patients: patients and seeds are drawn together.

``AucBootstrap`` is for patients with a score each, ``FilmAucBootstrap`` for films with a probability of each class. The
same draws serve everything that is compared, so that differences are paired by patient and by seed. With few seeds the
variance between them comes out too small, by a share of 1 / seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sldd.errors import InputError
from sldd.metrics.intervals import Estimate
from sldd.metrics.multilabel import mean_of_defined, ranked
from sldd.rng import stream

DRAWS = 2_000
_DRAWS_OF_FILMS = 1_000
_AT_ONCE = 4_000_000
"""Weights of films (draws x films) that are in memory at a time."""
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
        positive, negative = map(len, self._groups)
        self._positive = _drawn(random, positive, draws)
        self._negative = _drawn(random, negative, draws)
        self._seeds = _drawn(random, seeds, draws)

    def aucs(self, scores: np.ndarray) -> np.ndarray:
        """(1 + draws,) mean AUCs: as seen, then by draw.

        Args:
            scores: (seeds, patients), or (1, patients) of what no seed changes.
        """
        positive, negative = self._groups
        each = []
        for run in scores:
            # (positive, negative): whether the positive patient is above the negative one; a tie counts half.
            above = 0.5 + 0.5 * np.sign(run[positive][:, None] - run[negative][None, :])
            found = ((self._positive @ above) * self._negative).sum(1)
            each.append(found / (len(positive) * len(negative)))
        return _mean_over_seeds(each, self._seeds)


class FilmAucBootstrap:
    """Draws of patients, with all films of each, and of seeds: for the mean one-against-rest AUC over classes.

    Args:
        patients: (films,) whose they are.
        truth: (films, classes) 0, 1 or NaN where it is not known.
        seeds: runs.

    Raises:
        InputError: no class has films of it and others.
    """

    def __init__(self, patients: Sequence[int], truth: np.ndarray, seeds: int, draws: int = _DRAWS_OF_FILMS) -> None:
        self._truth = truth
        self._classes = [number for number, column in enumerate(truth.T) if {0.0, 1.0} <= set(column.tolist())]
        if not self._classes:
            raise InputError("an AUC needs films of a class and films of others, and there is no such class")
        random = stream(0, "auc bootstrap", "films")
        different, self._patient_of_film = np.unique(np.asarray(patients), return_inverse=True)
        self._patients = _drawn(random, len(different), draws)
        self._seeds = _drawn(random, seeds, draws)

    def aucs(self, scores: np.ndarray) -> np.ndarray:
        """(1 + draws,) mean AUCs, as of ``AucBootstrap``; NaN where a draw has no class with films of it and others.

        Args:
            scores: (seeds, films, classes), or (1, films, classes) of what no seed changes.
        """
        each = [np.concatenate([self._means(run, part) for part in self._parts()]) for run in scores]
        return _mean_over_seeds(each, self._seeds)

    def _parts(self) -> list[np.ndarray]:
        """The draws of patients in parts of (some draws, patients), whose weights of films fit into memory."""
        at_once = max(1, _AT_ONCE // len(self._patient_of_film))
        return np.array_split(self._patients, -(-len(self._patients) // at_once))

    def _means(self, run: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """(draws,) mean AUC over the classes that each of ``drawn`` (draws, patients) has.

        Args:
            run: (films, classes) probabilities.
        """
        weights = drawn[:, self._patient_of_film]
        found = np.empty((len(weights), len(self._classes)))
        for place, number in enumerate(self._classes):
            known = ~np.isnan(self._truth[:, number])
            found[:, place], _ = ranked(weights[:, known], self._truth[known, number] == 1, run[known, number])
        return mean_of_defined(found)


def _drawn(random: np.random.Generator, count: int, draws: int) -> np.ndarray:
    """(1 + draws, count) float64: how often each of ``count`` is drawn, with replacement; first, as seen, each once."""
    times = random.multinomial(count, np.full(count, 1 / count), size=draws)
    return np.concatenate([np.ones((1, count)), times])


def _mean_over_seeds(each: list[np.ndarray], seeds: np.ndarray) -> np.ndarray:
    """(1 + draws,) mean of the AUCs of each seed, (1 + draws,), by how often a draw has it (1 + draws, seeds).

    The AUCs themselves where there is one run only: no seed changes it.
    """
    if len(each) == 1:
        return each[0]
    mean: np.ndarray = (np.stack(each, 1) * seeds).sum(1) / len(each)
    return mean


def estimate(values: np.ndarray) -> Estimate:
    """The value as seen, with the interval that the draws give.

    Args:
        values: (1 + draws,) as seen, then by draw; draws that are NaN say nothing.
    """
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], method="inverted_cdf")
    return Estimate(float(values[0]), float(low), float(high))
