"""How fast the smallest image count grows with the parameters: a line through minima that are known as intervals.

    log2 M* = a + b (log10 parameters - centre) + s (sqrt(r) f + sqrt(1 - r) e),   e and f standard normal

M* is the continuous requirement behind the minimum, its next whole number: a minimum somewhere in [lower, upper] says
lower - 1 < M* <= upper, one image says M* <= 1, and an infinite upper only M* > lower - 1. `b` is in doublings of the
image count for each tenfold of the parameters: 0 is no relation, log2(10) = 3.3 is proportional growth. `f` is shared
by the networks of a family, r is its share of the variance: five families of like networks are hardly more than five
cases. It is summed out, by quadrature.

A few backbones at two levels, all the smaller ones below all the larger (as the six published points), are perfectly
separated: the likelihood only grows as the line gets steeper or the spread smaller, so no maximum exists. Hence weakly
informative priors (Gelman et al. 2008), Student's t with 7 degrees of freedom, whose moments exist under separation
where Cauchy's do not (Ghosh, Li and Mitra 2018), and a posterior summed on a grid: no sampler, the same result always.

Simulated, the 95 % intervals hold the true slope in 94 to 97 % of studies of 12 or 40 backbones, but of six backbones
and counts up to three in 87 to 99 % (92 % where there is no relation): read those as a little too sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtri

from analysis.stats.ranks.rank_tests import checked

DEGREES = 7
MASS = 0.95
COARSE, FINE = (25, 25, 17), (61, 101, 33)  # grid points for a, b and log s: to find the posterior, to sum it
COARSE_KIN, FINE_KIN = (17, 17, 11), (41, 61, 17)  # the same where families are summed out, which takes longer
SHARES = (0.1, 0.5, 0.9)  # of r, equally likely
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # of f
WIDEST = 12.0  # prior scales from zero within which it is looked for; the prior has 1e-6 outside
NARROWEST = 1e-3  # prior scales below which a spread is as good as none
NEGLIGIBLE = 1e-5  # of the posterior, in each tail of each parameter, may be left outside of the grid
DRAWS, NOISE = 4_000, 25


@dataclass(frozen=True)
class Priors:
    """Scales of the Student's t priors around zero: of `a` and `b`, and of `s`, which is positive.

    In doublings. `level` lets the middle of the studied networks need anything from one to hundreds of images; `slope`
    holds growth in proportion to the parameters for likely, and a hundredfold a tenfold for hardly so; `spread` lets
    networks of one size differ by a factor of two to four.

    The published six points hardly say how steep they are: the slope and its 95 % interval are 2.6 (0.4 to 7.3), with
    all scales halved 1.6 (0.3 to 4.0), doubled 4.5 (0.7 to 13.6), while P(b > 0) is 0.99 each time. The slope's own
    scale does most of that; the spread's moves the lower end alone (0.5 and 0.2).
    """

    level: float = 5.0
    slope: float = 2.5
    spread: float = 1.0

    def scaled(self, factor: float) -> Priors:
        """All of them wider or narrower, to see how much a result leans on them."""
        return Priors(self.level * factor, self.slope * factor, self.spread * factor)


@dataclass(frozen=True)
class Growth:
    """Posterior of the line: `slope` is the median of b, `low` and `high` its central 95 % interval.

    `growing` is the probability that b > 0. `draws` (DRAWS, 3) are equally likely values of a, b and s, `centre` the
    mean of log10 parameters.
    """

    backbones: int
    slope: float
    low: float
    high: float
    growing: float
    centre: float
    draws: np.ndarray

    def predict(self, parameters: ArrayLike) -> pd.DataFrame:
        """What a new network of so many parameters would need: parameters, images (median), low and high (95 %).

        Whole images, as floats: far outside of the studied networks, `high` exceeds every integer.
        """
        sizes = np.asarray(parameters, dtype=np.float64)
        a, b, s = self.draws.T
        noise = ndtri((np.arange(NOISE) + 0.5) / NOISE)
        ends = [(1 - MASS) / 2, 0.5, (1 + MASS) / 2]
        rows = []
        for offset in np.log10(sizes) - self.centre:
            needs = (a + b * offset)[:, None] + s[:, None] * noise
            rows.append(np.ceil(np.exp2(np.quantile(needs, ends))).clip(1))
        low, median, high = np.array(rows).reshape(-1, 3).T
        return pd.DataFrame({"parameters": sizes, "images": median, "low": low, "high": high})


def growth(
    parameters: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    priors: Priors | None = None,
    families: Sequence[str] | None = None,
) -> Growth | None:
    """Fit the line to backbones whose minima are known as intervals; without families, each is of its own.

    None where there are no two backbones of different size about which something is known: the answer would be the
    prior. Backbones that may need any number of images (one or more) say nothing and are not counted.
    """
    sizes, low, high = checked(parameters, lower, upper)
    known = (low > 1) | np.isfinite(high)
    sizes, low, high = sizes[known], low[known], high[known]
    kin = np.unique(families, return_inverse=True)[1][known] if families is not None else np.arange(len(sizes))
    if len(np.unique(sizes)) < 2:
        return None
    x = np.log10(sizes)
    centre = float(x.mean())
    with np.errstate(divide="ignore"):
        data = Data(x - centre, np.log2(low - 1), np.log2(high), kin)
    priors = priors or Priors()
    axes = _located(data, priors)
    weights = _posterior(axes, data, priors)
    slopes = weights.sum(axis=(0, 2))
    edges, below = _cumulative(axes[1], slopes)
    ends = np.interp([(1 - MASS) / 2, 0.5, (1 + MASS) / 2], below, edges)
    growing = 1 - float(np.interp(0.0, edges, below))
    return Growth(len(x), float(ends[1]), float(ends[0]), float(ends[2]), growing, centre, _draws(axes, weights))


Axes = list[np.ndarray]


class Data(NamedTuple):
    """Of each backbone: log10 parameters off the centre, the ends of log2 M*, and the number of its family."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    kin: np.ndarray

    @property
    def related(self) -> bool:
        """Whether any two are of a family."""
        return len(np.unique(self.kin)) < len(self.kin)


def _located(data: Data, priors: Priors) -> Axes:
    """Axes of the fine grid, over a box that holds the posterior.

    The box begins at WIDEST prior scales. A coarse grid over it shows which range of each parameter holds all but a
    NEGLIGIBLE part of the posterior; these ranges are the next box, until it hardly shrinks.
    """
    box = [(-WIDEST * scale, WIDEST * scale) for scale in (priors.level, priors.slope)]
    box.append((float(np.log(NARROWEST * priors.spread)), float(np.log(WIDEST * priors.spread))))
    coarse, fine = (COARSE_KIN, FINE_KIN) if data.related else (COARSE, FINE)
    # As long as the grid is too coarse for the line to pass through the points, a small spread looks impossible.
    for keeps_small_spreads in (True, False):
        for _ in range(20):
            axes = [np.linspace(*ends, points) for ends, points in zip(box, coarse, strict=True)]
            weights = _posterior(axes, data, priors)
            marginals = [weights.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1))]
            tighter = [_holding(axis, marginal) for axis, marginal in zip(axes, marginals, strict=True)]
            if keeps_small_spreads:
                tighter[2] = (box[2][0], tighter[2][1])
            done = all(new[1] - new[0] > 0.8 * (old[1] - old[0]) for new, old in zip(tighter, box, strict=True))
            box = tighter
            if done:
                break
    return [np.linspace(*ends, points) for ends, points in zip(box, fine, strict=True)]


def _holding(axis: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The range of an axis that matters, and a grid point more on either side."""
    below = np.cumsum(weights)
    first, last = np.searchsorted(below, [NEGLIGIBLE, 1 - NEGLIGIBLE])
    return float(axis[max(first - 1, 0)]), float(axis[min(last + 1, len(axis) - 1)])


def _posterior(axes: Axes, data: Data, priors: Priors) -> np.ndarray:
    """Probability of every grid point, as the product of the axes."""
    a, b, log_s = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    s = np.exp(log_s)
    # The last term is the Jacobian: the grid is even in log s, the prior is on s.
    log = _student(a / priors.level) + _student(b / priors.slope) + _student(s / priors.spread) + log_s
    alone = np.bincount(data.kin)[data.kin] == 1
    for x, low, high in zip(data.x[alone], data.low[alone], data.high[alone], strict=True):
        line = a + b * x
        log = log + _log_between((low - line) / s, (high - line) / s)
    if data.related:
        shared = [_of_families(a, b, s, data, share) for share in SHARES]
        log = log + np.logaddexp.reduce(shared, axis=0)
    weights = np.exp(log - log.max())
    return weights / weights.sum()


def _of_families(a: np.ndarray, b: np.ndarray, s: np.ndarray, data: Data, share: float) -> np.ndarray:
    """Log likelihood of all families of two networks or more, at each grid point (a, b, log s).

    What a family shares (f) is integrated out by Gauss-Hermite quadrature; its part of the variance, r, is `share`.
    """
    total, own = np.zeros(np.broadcast_shapes(a.shape, b.shape, s.shape)), s * np.sqrt(1 - share)
    for family in np.flatnonzero(np.bincount(data.kin) > 1):
        members = np.flatnonzero(data.kin == family)
        by_node = []
        for node, weight in zip(NODES, NODE_WEIGHTS / NODE_WEIGHTS.sum(), strict=True):
            log = np.log(weight)
            for network in members:
                line = a + b * data.x[network] + s * np.sqrt(share) * node
                log = log + _log_between((data.low[network] - line) / own, (data.high[network] - line) / own)
            by_node.append(log)
        total = total + np.logaddexp.reduce(by_node, axis=0)
    return total


def _student(scaled: np.ndarray) -> np.ndarray:
    return -(DEGREES + 1) / 2 * np.log1p(scaled**2 / DEGREES)


def _log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Log of the standard normal probability between two bounds, exact far out in either tail."""
    # The tail above a bound is the tail below its mirror image; differences are taken in the lower tail.
    mirrored = low > -high
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    above = log_ndtr(high)
    return above + np.log(-np.expm1(np.minimum(log_ndtr(low) - above, -1e-15)))


def _cumulative(axis: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the cells around an axis' points, and the probability below each."""
    half = (axis[1] - axis[0]) / 2
    return np.append(axis - half, axis[-1] + half), np.append(0.0, np.cumsum(weights))


def _draws(axes: Axes, weights: np.ndarray) -> np.ndarray:
    """Equally likely a, b and s, (DRAWS, 3): quantiles of the grid points in their order, not random ones."""
    chosen = np.searchsorted(np.cumsum(weights), (np.arange(DRAWS) + 0.5) / DRAWS)
    a, b, log_s = (axis[place] for axis, place in zip(axes, np.unravel_index(chosen, weights.shape), strict=True))
    return np.column_stack([a, b, np.exp(log_s)])
