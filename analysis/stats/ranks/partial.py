"""Rank correlations of what networks are like with the images they need, as far as their size does not explain it.

Kendall's partial formula on Spearman's coefficients,

    r_xy.z = (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)),

x a trait of a network, y its smallest count (Gehan's scores: bounds count for what they say, `rank_tests`), z its
parameters. Networks of a family are alike, so that the interval is that of a jackknife over families: on Fisher's
scale, with t of two degrees of freedom fewer than families (``python -m benchmarks.leads`` counts how often it holds
the truth).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from analysis.stats.ranks.rank_tests import centred_ranks, scores

LEVEL = 0.95
FEWEST = 8
"""Families under which nothing is said: the interval would span nearly everything."""
_NEAR_ONE = 1 - 1e-9


@dataclass(frozen=True)
class Partial:
    """A partial rank correlation in [-1, 1] with its interval; `alone` is without taking the size out.

    `low` and `high` are NaN where the order is perfect without any one family: a jackknife has no width there.
    """

    networks: int
    families: int
    alone: float
    value: float
    low: float
    high: float


def partial_spearman(
    trait: ArrayLike, sizes: ArrayLike, lower: ArrayLike, upper: ArrayLike, families: Sequence[str]
) -> Partial | None:
    """Partial rank correlation of a trait with the smallest count, given the size; columns of n networks each.

    Args:
        trait: missing (NaN) ones leave their network out.
        sizes: parameters.
        lower: bounds of the smallest count, in images.
        upper: the same, infinite where none is shown to suffice.

    Returns:
        None where fewer than ``FEWEST`` families have it, or one of the three does not vary.
    """
    columns = [np.asarray(column, np.float64) for column in (trait, sizes, lower, upper)]
    there = np.isfinite(columns[0])
    x, z, low, high = (column[there] for column in columns)
    named = np.array(families, dtype=object)[there]
    kinds = list(dict.fromkeys(named))
    if len(kinds) < FEWEST:
        return None

    def fisher(kept: np.ndarray) -> float:
        return float(np.arctanh(np.clip(_partial(x[kept], scores(low[kept], high[kept]), z[kept]), -1, 1) * _NEAR_ONE))

    everyone = np.ones(len(x), bool)
    y = scores(low, high)
    value = _partial(x, y, z)
    if not np.isfinite(value):
        return None
    without = np.array([fisher(named != kind) for kind in kinds])
    count = len(kinds)
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    if not np.isfinite(error):
        return None
    if error < 1e-9:
        return Partial(len(x), count, _spearman(x, y), value, float("nan"), float("nan"))
    reach = t.ppf((1 + LEVEL) / 2, count - 2) * error
    centre = fisher(everyone)
    ends = np.tanh([centre - reach, centre + reach])
    return Partial(len(x), count, _spearman(x, y), value, float(ends[0]), float(ends[1]))


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    one, other = centred_ranks(x), centred_ranks(y)
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale else float("nan")


def _partial(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> float:
    xy, xz, yz = _spearman(x, y), _spearman(x, z), _spearman(y, z)
    left = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / float(np.sqrt(left)) if left > 0 else float("nan")
