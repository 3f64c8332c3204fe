"""Importance of searched settings by PED-ANOVA, with what chance gives and bootstrap intervals.

Watanabe, Bansal and Hutter ("PED-ANOVA", IJCAI 2023) ask what share of the trials are among the best at each value of a
setting. With one-dimensional Parzen densities p of its values in all trials and p' in the best, the share b of all, the
variance of that over the values is their local marginal variance

    v = b^2 D(p' | p),      D(p' | p) = sum over values of p (p' / p - 1)^2,  Pearson's divergence.

Being among the best has the variance b (1 - b), so that v over that is a share of variance as in functional ANOVA: 0
where a setting tells nothing, 1 where it alone decides. Networks differ in what they reach at any setting; so trials
are ranked within their cell, and the best are the best of each cell. Of few trials v is above 0 whatever the setting
does: what trials give that are shuffled within their cells is taken off, and is the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

STEPS = 50
"""Values that a continuous setting is counted in, from the lowest to the highest that was tried."""
BEST = 0.25
"""Share of a cell's trials that are its best, rounded up."""
FEWEST = 20
"""Trials, in cells of two or more, before anything is said."""
RESAMPLES = 400
LEVEL = 0.95
_TINY = 1e-12


@dataclass(frozen=True)
class Values:
    """Values of a setting in all trials, as whole numbers: `places` (trials,) of `count`; neighbours are alike where
    they are `ordered`, and else they are choices."""

    places: np.ndarray
    count: int
    ordered: bool

    @classmethod
    def of_range(cls, values: np.ndarray) -> Values:
        """Numbers (trials,), evenly from the lowest to the highest; rates come as logarithms."""
        low, high = values.min(), values.max()
        steps = (values - low) / (high - low) * (STEPS - 1)
        return cls(np.ceil(steps - 0.5).astype(np.int64).clip(0), STEPS, ordered=True)

    def counts(self, trials: np.ndarray) -> np.ndarray:
        """(rows, values): how often each value is among the `trials` (rows, drawn) of a row."""
        rows = len(trials)
        flat = (self.places[trials] + self.count * np.arange(rows)[:, None]).ravel()
        return np.bincount(flat, minlength=rows * self.count).reshape(rows, self.count)

    def divergence(self, best: np.ndarray, everyone: np.ndarray) -> np.ndarray:
        """(rows,) Pearson's divergence of the density of the `best` trials of a row from that of `everyone`."""
        density = _density if self.ordered else _shares
        p, q = (density(self.counts(trials)) + _TINY for trials in (everyone, best))
        return np.asarray((p * (q / p - 1) ** 2).sum(-1))


@dataclass(frozen=True)
class Importance:
    """Importance of a setting.

    Attributes:
        value: share of the variance of being among a cell's best, without what chance gives; not below 0.
        low, high: its bootstrap interval over the trials of each cell, at `LEVEL`.
        p: how often shuffled trials give as much or more.
    """

    value: float
    low: float
    high: float
    p: float


def best_of(cells: np.ndarray) -> np.ndarray:
    """Places of the best trials; `cells` (trials,) are numbers, and those of a cell stand together, its best first."""
    starts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]])
    sizes = np.diff(np.r_[starts, len(cells)])
    return np.flatnonzero(np.arange(len(cells)) < np.repeat(starts + np.ceil(sizes * BEST), sizes))


def importances(cells: np.ndarray, settings: Mapping[str, Values], rng: np.random.Generator) -> dict[str, Importance]:
    """Importance of each setting.

    Args:
        cells: (trials,) as of `best_of`.
        settings: by name, values in these trials.
    """
    trials, best = np.arange(len(cells)), best_of(cells)
    rest = np.setdiff1d(trials, best)
    odds = len(best) / len(rest)  # v / (b (1 - b)) = b / (1 - b) D
    # The null: trials change places within their cell.
    cell_number = np.cumsum(np.r_[False, cells[1:] != cells[:-1]])
    shuffled = np.argsort(cell_number + rng.random((RESAMPLES, len(cells))), axis=1)
    # The bootstrap, best and rest apart: of a cell of two trials, half of the draws would be of one trial twice.
    drawn_best = rng.choice(best, (RESAMPLES, len(best)))
    drawn_rest = rng.choice(rest, (RESAMPLES, len(rest)))
    drawn = np.hstack([drawn_best, drawn_rest])
    found = {}
    for name, values in settings.items():
        value = odds * float(values.divergence(best[None], trials[None])[0])
        null = odds * values.divergence(shuffled[:, best], trials[None])
        resampled = odds * values.divergence(drawn_best, drawn)
        resampled += value - resampled.mean()  # what is drawn twice is noisier, and noise adds to a divergence
        chance = float(null.mean())
        ends = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = (_without_chance(float(end), chance) for end in ends)
        p = (1 + int((null >= value - 1e-9).sum())) / (RESAMPLES + 1)
        found[name] = Importance(_without_chance(value, chance), low, high, p)
    return found


def _without_chance(importance: float, chance: float) -> float:
    """A share of variance without the mean of the null, as a share of what that leaves; within 0 and 1."""
    return min(max((importance - chance) / (1 - chance), 0.0), 1.0)


def _shares(counts: np.ndarray) -> np.ndarray:
    """(rows, choices) densities over choices, each observed one a kernel with some weight on the others, and one of all
    alike, as in Optuna's evaluator."""
    trials, choices = counts.sum(-1, keepdims=True), counts.shape[-1]
    kernels = (counts > 0).sum(-1, keepdims=True) + 1
    return np.asarray(((trials / kernels + counts) / (1 + choices / kernels) + 1 / choices) / (trials + 1))


def _density(counts: np.ndarray) -> np.ndarray:
    """(rows, values) Parzen densities: a normal kernel a trial, cut off at the ends, as wide as Scott's rule (1992) has
    it, and one as wide as the range for what was not tried; as in Optuna's evaluator."""
    trials, at = counts.sum(-1), np.arange(counts.shape[-1])
    mean = counts @ at / trials
    variance = (counts * (at - mean[:, None]) ** 2).sum(-1) / np.maximum(1, trials - 1)
    below, quarter = counts.cumsum(-1), trials[:, None] // 4
    first = (below >= np.maximum(1, quarter)).argmax(-1)
    third = (below > trials[:, None] * 3 // 4).argmax(-1)
    spread = np.minimum((third - first) / 1.34, np.sqrt(variance))
    width = np.maximum(1.059 * spread * trials**-0.2, 0.5 / 1.64)  # 90 % of a kernel may lie in one value
    narrow = (counts[:, None, :] @ _kernels(at, width[:, None, None], at))[:, 0]
    wide = _kernels(np.array([at.mean()]), np.array(float(len(at))), at)[0]
    return np.asarray((narrow + wide) / (trials[:, None] + 1))


def _kernels(centres: np.ndarray, width: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(..., centres, values) normal distributions over whole values, cut off at either end."""

    def below(ends: np.ndarray) -> np.ndarray:
        return np.asarray(ndtr((ends - centres[:, None]) / width))

    ends = below(at[[0, -1]] + [-0.5, 0.5])
    return (below(at + 0.5) - below(at - 0.5)) / (ends[..., 1:] - ends[..., :1])
