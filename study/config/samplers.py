"""Samplers by the names that ``search.sampler`` gives them; a new one is a line of ``SAMPLERS``.

Each is made from a name, ``<study's seed>/<cell>/<number>``, for one suggestion, so it must not need to remember
anything. None needs more than Optuna, SciPy and torch. CMA-ES is not among them: a cell's search ends within its first
generation, which is drawn by chance.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.stats import qmc

_AT_RANDOM = 4
"""Observations before a model of them is made."""
_DIMENSIONS = 64


class SobolSampler(BaseSampler):
    """Points of a scrambled Sobol sequence that a cell's suggestions follow, one after another.

    Optuna's own counts the points in a study that lasts.
    """

    def __init__(self, name: str) -> None:
        cell, _, number = name.rpartition("/")
        sequence = qmc.Sobol(_DIMENSIONS, seed=_seed(cell))
        self._point = sequence.random_base2(int(number).bit_length())[int(number)]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """None: every parameter has its own dimension."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        """Nothing, likewise."""
        return {}

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        """The value of the next parameter."""
        unit = float(self._point[len(trial.params)])
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[int(unit * len(param_distribution.choices))]
        assert isinstance(param_distribution, FloatDistribution)
        low, high = param_distribution.low, param_distribution.high
        return low * (high / low) ** unit if param_distribution.log else low + unit * (high - low)


def _seed(name: str) -> int:
    return zlib.crc32(name.encode())


SAMPLERS: dict[str, Callable[[str], BaseSampler]] = {
    # A tree-structured Parzen estimator of all parameters together.
    "tpe": lambda name: TPESampler(
        seed=_seed(name), n_startup_trials=_AT_RANDOM, multivariate=True, constant_liar=True
    ),
    # A Gaussian process.
    "gp": lambda name: GPSampler(seed=_seed(name), n_startup_trials=_AT_RANDOM),
    # Points that fill the ranges evenly, whatever was found.
    "qmc": SobolSampler,
    # What the others have to be better than.
    "random": lambda name: RandomSampler(seed=_seed(name)),
}

SHARED = "shared"
"""A model of all cells together (``study.search.shared_model``): none of Optuna's, which know one cell."""

if TYPE_CHECKING:
    SamplerName = str
else:
    SamplerName = Literal[*SAMPLERS, SHARED]  # what the settings accept and list follows from the table
