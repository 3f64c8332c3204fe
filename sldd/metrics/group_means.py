"""Group means: a distribution of patients' values of which no patient's alone is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_GROUPS = 5
FEWEST = 5
"""Patients of a group."""


def group_means(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Means of the lowest fifth of patients' values, of the next one, and so on.

    Groups have ``FEWEST`` patients or more, so that there are fewer of them where patients are few, and none at all
    where two groups are too many. Rounded to a thousandth.
    """
    groups = min(MOST_GROUPS, len(values) // FEWEST)
    if groups < 2:
        return ()
    return tuple(round(float(mean), 3) for mean in means_of(np.asarray(values, np.float64), groups))


def means_of(values: np.ndarray, groups: int) -> np.ndarray:
    """(..., groups) means of so many equal groups of (..., patients) values, from the lowest to the highest."""
    parts = np.array_split(np.sort(values, axis=-1), groups, axis=-1)
    return np.stack([part.mean(axis=-1) for part in parts], axis=-1)
