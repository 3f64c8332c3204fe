"""Rank tests of whether networks with more parameters need more distilled images, keeping backbones known in part.

A backbone's minimum is a whole number of images somewhere in [lower, upper]. `upper` is infinite where no count tried
was shown sufficient (right-censored: `lower` or more); where the two are equal the minimum is known. One interval is
above another only where every whole number in it is: lower_i > upper_j. Intervals that share a number, if only an end,
compare as equal, and so do equal minima. For known minima these are the ordinary tests with ties.

Backbones of a family may be alike: where families are given, only orders that keep them together count
(`analysis.stats.ranks.block_orders`).

Leaving censored backbones out instead would discard just the ones that need the most images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from analysis.stats.ranks.block_orders import all_orders, block_null
from analysis.stats.ranks.permutation import Null, product_null, sign_null

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class RankTest:
    """A rank correlation of `backbones` points, in [-1, 1], with permutation p-values.

    `p` is one-sided (growing): the share of all orders of these intervals over these parameters with a statistic at
    least as high; `p_two_sided` of those at least as far from zero; `smallest_p` is `p` of the most favourable order.
    Fractions of all `orders` where `exact`, otherwise of a seeded sample of so many, whose `smallest_p` is None. All
    None where one side does not vary, so that no order can be told from another.
    """

    backbones: int
    value: float | None = None
    p: Fraction | None = None
    p_two_sided: Fraction | None = None
    smallest_p: Fraction | None = None
    exact: bool = True
    orders: int = 0

    @property
    def grows(self) -> bool:
        """Whether growth is shown at the 5 % level. Where families are kept together p is about networks of a family,
        and may be small though over all of them larger ones need less: then it is not."""
        return self.p is not None and self.value is not None and self.p <= SIGNIFICANT and self.value > 0


def checked(parameters: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three columns (n,) as floats, parameters in number of weights, bounds in images.

    ValueError where their lengths differ, a parameter count is not positive and finite, or [lower, upper] holds no
    whole number of images from 1 up or has a bound that is not one.
    """
    columns = tuple(np.asarray(column, dtype=np.float64) for column in (parameters, lower, upper))
    sizes, low, high = columns
    if sizes.ndim != 1 or not sizes.shape == low.shape == high.shape:
        raise ValueError(f"parameters, lower and upper are columns of one length, not {[c.shape for c in columns]}")
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError("every parameter count is positive and finite")
    whole = np.isfinite(low) & (low == np.floor(low)) & (high == np.floor(high))
    if not (whole & (low >= 1) & (high >= low)).all():
        raise ValueError("every interval is 1 <= lower <= upper in whole images, with upper infinite where unknown")
    return sizes, low, high


def comparisons(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """How the minimum of i compares to that of j, (n, n): +1 surely above, -1 surely below, 0 equal or not known."""
    above = lower[:, None] > upper[None, :]
    return above.astype(np.int64) - above.T


def scores(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Gehan's score of each minimum, (n,): how many are surely below it, less how many are surely above.

    For known minima it is 2 rank - (n + 1), with average ranks (Gehan 1965).
    """
    return comparisons(lower, upper).sum(axis=1)


def spearman(
    parameters: ArrayLike, lower: ArrayLike, upper: ArrayLike, families: Sequence[str] | None = None
) -> RankTest:
    """Spearman's rho with Gehan's scores as ranks of the minima; the usual rho where all are known."""
    sizes, low, high = checked(parameters, lower, upper)
    x, y = _whole_ranks(sizes), scores(low, high)
    scale = float(np.sqrt((x @ x) * (y @ y)))

    def null() -> Null:
        if families is None or all_orders(families):
            return product_null(x.tolist(), y.tolist())
        return block_null(families, lambda orders: y[orders] @ x)

    return _tested(len(sizes), int(x @ y), scale, null)


def kendall(
    parameters: ArrayLike, lower: ArrayLike, upper: ArrayLike, families: Sequence[str] | None = None
) -> RankTest:
    """Kendall's tau over the pairs that can be compared; the usual tau-b where all minima are known.

    The sum over pairs of sign(x_i - x_j) times the comparison of the minima, over the geometric mean of how many pairs
    differ on either side (Brown, Hollander and Korwar 1974; Oakes 1982 for the counting of pairs).
    """
    sizes, low, high = checked(parameters, lower, upper)
    x, y = comparisons(sizes, sizes), comparisons(low, high)
    scale = float(np.sqrt((x * x).sum() * (y * y).sum())) / 2

    def null() -> Null:
        if families is None or all_orders(families):
            return sign_null(sizes.tolist(), y)
        return block_null(families, lambda orders: (y[orders[:, :, None], orders[:, None, :]] * x).sum((1, 2)) // 2)

    return _tested(len(sizes), int((x * y).sum()) // 2, scale, null)


def centred_ranks(values: np.ndarray) -> np.ndarray:
    """(n,) average ranks less their mean, so that they sum to zero."""
    return rankdata(values) - (len(values) + 1) / 2


def _whole_ranks(values: np.ndarray) -> np.ndarray:
    """Twice the `centred_ranks`: whole numbers, so that statistics compare exactly."""
    return np.rint(2 * centred_ranks(values)).astype(np.int64)


def _tested(backbones: int, statistic: int, scale: float, null: Callable[[], Null]) -> RankTest:
    if scale == 0:
        return RankTest(backbones)
    orders = null()
    p, two_sided = orders.at_least(statistic), orders.as_far(statistic)
    return RankTest(backbones, statistic / scale, p, two_sided, orders.smallest_p, orders.exact, orders.orders)
