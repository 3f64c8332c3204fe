"""Break-even count: the own patients with which training alone reaches the AUC of a package as it was received."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def break_even(
    received: np.ndarray, alone: Sequence[tuple[int, np.ndarray]]
) -> tuple[float | None, float | None, float | None]:
    """The count, and the low and the high end of its 95 % interval; None where no tested count reaches the package.

    AUCs between two tested counts are taken from a straight line. Training alone on no patient has an AUC of 0.5.

    Args:
        received: (1 + draws,) AUC of the package as received: as seen, then by bootstrap draw; NaN where a draw has no
            class with films of it and others. Such draws are left out.
        alone: each tested count of own patients, in rising order, with the (1 + draws,) AUC of training alone on so
            many, by the same draws.
    """
    if not alone:
        return None, None, None
    counts = np.array([0, *(count for count, _ in alone)], float)
    curves = np.stack([np.full(len(received), 0.5), *(aucs for _, aucs in alone)], 1)  # (1 + draws, counts)
    known = ~np.isnan(received)
    found = [_crossing(counts, curve, auc) for curve, auc in zip(curves[known], received[known], strict=True)]
    low, high = np.quantile(found[1:], [0.025, 0.975], method="inverted_cdf")
    return _finite(found[0]), _finite(low), _finite(high)


def _crossing(counts: np.ndarray, curve: np.ndarray, level: float) -> float:
    """The first count at which a curve, linear between counts, reaches a level; infinite where it never does.

    Args:
        counts: (n,) in rising order, from 0.
        curve: (n,) values at the counts.
    """
    reached = np.flatnonzero(curve >= level - 1e-9)  # means of seeds differ from a single run in the last digit
    if not len(reached):
        return np.inf
    after = reached[0]
    if after == 0:
        return 0.0
    rise = min(1.0, (level - curve[after - 1]) / (curve[after] - curve[after - 1]))
    return float(counts[after - 1] + rise * (counts[after] - counts[after - 1]))


def _finite(count: float) -> float | None:
    return None if np.isinf(count) else float(count)
