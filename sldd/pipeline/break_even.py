"""Break-even count: how many own patients training alone takes to come to the AUC of a package as it was received."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def break_even(
    received: np.ndarray, alone: Sequence[tuple[int, np.ndarray]]
) -> tuple[float | None, float | None, float | None]:
    """The count and the ends of its interval; None of what no tested count came to.

    Args:
        received: (1 + draws,) AUC of the package as received: as seen, then by draw; NaN where a draw has no class with
            films of it and others, which says nothing of either.
        alone: own patients, and the AUC of training alone on them, by the same draws; of none it is 0.5.
    """
    if not alone:
        return None, None, None
    counts = np.array([0, *(count for count, _ in alone)], float)
    curves = np.stack([np.full(len(received), 0.5), *(aucs for _, aucs in alone)], 1)
    known = ~np.isnan(received)
    found = np.array(list(_crossings(counts, curves[known], received[known])))
    low, high = np.quantile(found[1:], [0.025, 0.975], method="inverted_cdf")
    seen, low, high = (None if np.isinf(value) else float(value) for value in (found[0], low, high))
    return seen, low, high


def _crossings(counts: np.ndarray, curves: np.ndarray, levels: np.ndarray) -> Iterator[float]:
    """For each row the first count, by straight lines between them, at which the curve comes to its level; or inf."""
    for curve, level in zip(curves, levels, strict=True):
        reached = np.flatnonzero(curve >= level)
        if not len(reached):
            yield np.inf
        elif reached[0] == 0:
            yield 0.0
        else:
            after = reached[0]
            rise = (level - curve[after - 1]) / (curve[after] - curve[after - 1])
            yield counts[after - 1] + rise * (counts[after] - counts[after - 1])
