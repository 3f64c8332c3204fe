"""How many backbones a study needs before its points can show that larger networks need more images.

The assumed truth: parameter counts are spread evenly on the log scale, a network's requirement is normal around a line
with correlation r to log parameters, and only its level shows (needs one image, two, ...), in given shares, since few
counts are tried. The test is the one the study reports: one-sided, exact permutation of Spearman's correlation. With
few levels most of a ranking is ties, so many more backbones are needed than the textbook's 9 or so for r = 0.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from analysis.stats.permutation import product_null
from analysis.stats.rank_tests import checked, scores

SIGNIFICANT = Fraction(1, 20)
PUBLISHED_SHARES = (4.0, 2.0)  # Li et al. 2022, Table 6: four networks need one image, two need two
SIMULATIONS = 2_000
SEED = 0
BACKBONES = (6, 8, 10, 12, 16, 20, 24, 30)
CORRELATIONS = (0.5, 0.7, 0.9)
MOST = 60  # backbones; a study of more is not planned for
QUICK = 3 * 10**8  # work for counting one design's orders, a tenth of a second; designs are many, and need no exact p


def level_shares(lower: ArrayLike, upper: ArrayLike) -> tuple[float, ...]:
    """How many minima are on each level, lowest first; the published shares where all are on one.

    Intervals of equal score, that is with as many others surely below as above, are on one level.
    """
    _, low, high = checked(np.ones(np.shape(lower)), lower, upper)
    counts = np.unique(scores(low, high), return_counts=True)[1]
    return tuple(map(float, counts)) if len(counts) > 1 else PUBLISHED_SHARES


def level_counts(backbones: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Backbones on each level, as close to the shares as whole numbers get (largest remainders)."""
    exact = backbones * np.array(shares) / sum(shares)
    counts = np.floor(exact + 1e-9).astype(int)
    most_short = np.argsort(counts - exact, kind="stable")
    counts[most_short[: backbones - counts.sum()]] += 1
    return tuple(counts.tolist())


def power(backbones: int, correlation: float, shares: Sequence[float] = PUBLISHED_SHARES) -> float:
    """Probability of p <= 0.05 if log parameters and requirement are correlated so; by SIMULATIONS seeded draws.

    Its standard error is at most 0.011. Zero where even a perfect order has p > 0.05.
    """
    counts = level_counts(backbones, shares)
    sizes, needs = _scores(counts)
    critical = _critical(counts)
    if critical is None:
        return 0.0
    even = sizes / np.sqrt(np.mean(np.square(sizes)))
    # The same draws whatever the correlation, so that powers differ by it alone.
    noise = np.random.default_rng(SEED).standard_normal((SIMULATIONS, backbones))
    requirement = correlation * even + np.sqrt(1 - correlation**2) * noise
    # The networks in order of what they require, against the levels in order.
    statistics = sizes[np.argsort(requirement, axis=1)] @ needs
    return float(np.mean(statistics >= critical))


def needed(correlation: float, shares: Sequence[float] = PUBLISHED_SHARES, target: float = 0.8) -> int | None:
    """The fewest backbones with at least the power `target`; None where MOST are too few.

    Levels come in whole backbones, so one backbone more may have slightly less power.
    """
    return next((n for n in range(3, MOST + 1) if power(n, correlation, shares) >= target), None)


def power_table(
    backbones: Sequence[int] = BACKBONES,
    correlations: Sequence[float] = CORRELATIONS,
    shares: Sequence[float] = PUBLISHED_SHARES,
) -> pd.DataFrame:
    """One row a design: backbones, correlation, power."""
    rows = [(n, r, power(n, r, shares)) for r in correlations for n in backbones]
    return pd.DataFrame(rows, columns=["backbones", "correlation", "power"])


def _scores(counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the parameter counts, all different, and of the minima, in order: whole numbers that sum to zero."""
    size, level = np.arange(1.0, sum(counts) + 1), np.repeat(np.arange(1.0, len(counts) + 1), counts)
    return scores(size, size), scores(level, level)


@lru_cache(maxsize=1024)
def _critical(counts: tuple[int, ...]) -> int | None:
    """The smallest statistic with p <= 0.05."""
    sizes, needs = _scores(counts)
    return product_null(sizes.tolist(), needs.tolist(), QUICK).critical(SIGNIFICANT)
