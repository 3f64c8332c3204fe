"""Bootstrap of mean AUCs over runs that scored the same patients: patients and seeds are drawn together.

The same draws serve everything that is compared, so that differences are paired by patient and by seed. Of few seeds,
what these differ by is drawn a little too small (a share of 1 / seeds of its variance).
"""

from __future__ import annotations

import numpy as np

from sldd.errors import InputError
from sldd.metrics.intervals import Estimate
from sldd.rng import stream

DRAWS = 2_000
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


def estimate(values: np.ndarray) -> Estimate:
    """The value as seen (the first) and the interval that the draws (the others) give."""
    low, high = np.quantile(values[1:], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], method="inverted_cdf")
    return Estimate(float(values[0]), float(low), float(high))
