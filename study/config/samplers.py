"""Samplers by the names that ``search.sampler`` gives them; a new one is a line of ``SAMPLERS``.

Each is made from a seed, for one suggestion, so it must not need to remember anything. None needs more than Optuna,
SciPy and torch: CMA-ES would need a library of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

_AT_RANDOM = 4
"""Observations before a model of them is made."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # A tree-structured Parzen estimator of all parameters together.
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=_AT_RANDOM, multivariate=True, constant_liar=True),
    # A Gaussian process.
    "gp": lambda seed: GPSampler(seed=seed, n_startup_trials=_AT_RANDOM),
    # What the others have to be better than.
    "random": lambda seed: RandomSampler(seed=seed),
}

SHARED = "shared"
"""A model of all cells together (``study.search.shared_model``): none of Optuna's, which know one cell."""

if TYPE_CHECKING:
    SamplerName = str
else:
    SamplerName = Literal[*SAMPLERS, SHARED]  # what the settings accept and list follows from the table
