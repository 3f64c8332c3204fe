"""Points of the shared model: searched settings and what cells are, as numbers between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.stats import qmc

from ledger.families import family
from study.config.methods.base import Space
from study.grid.axes import Cell
from study.search.sampler import middle

_CANDIDATES = 512
_NUMBERS: tuple[Callable[[Cell, int | None], float], ...] = (
    lambda _, parameters: math.log10(parameters or 1),
    lambda cell, _: math.log2(cell.images or 1),
    lambda cell, _: math.log2(cell.inner_steps or 1),
)
_KINDS: tuple[Callable[[Cell], str], ...] = (
    lambda cell: family(cell.backbone),
    lambda cell: cell.norm,
    lambda cell: cell.method,
    lambda cell: cell.start,
    lambda cell: str(cell.label_init),
)
Sized = tuple[Cell, int | None]
"""A cell and the parameters of its network."""


class Encoding:
    """Points of the model: searched settings in a cell, as a row of numbers.

    The columns are the settings (rates scaled to [0, 1], options one-hot), the context (how far a run is from its end
    where some wait at a rung, what the cell is, whether it is another study's), and last the cell's number.

    Args:
        cells, others: of the study, and of another one whose trials are learned from as well.
        space: what is searched.
        rungs: whether some scores are of runs that wait at a rung.

    Attributes:
        settings: what is searched, without the threshold.
        columns: how many columns there are of settings and of context.
    """

    def __init__(
        self, cells: Sequence[Sized], space: Space, others: Sequence[Sized] = (), *, rungs: bool = False
    ) -> None:
        self._rungs = rungs
        self.settings = {name: each for name, each in space.items() if name != "delta"}
        # By name: a cell whose count was listed when a trial of it ran, and is searched now, is the same one.
        listed: dict[tuple[str, bool], Sized] = {}
        for is_prior, group in ((False, cells), (True, others)):
            for cell, parameters in sorted(group, key=lambda each: each[0].name):
                listed[cell.name, is_prior] = (cell, parameters)
        columns = _context_columns(list(listed.values()))
        self._contexts: dict[tuple[str, bool], list[float]] = {}
        for place, (name, is_prior) in enumerate(listed):
            origin = [float(is_prior)] if others else []
            self._contexts[name, is_prior] = [*(column[place] for column in columns), *origin, float(place)]
        widths = [len(e.choices) if isinstance(e, CategoricalDistribution) else 1 for e in self.settings.values()]
        self.columns = (sum(widths), len(columns) + bool(others) + rungs)

    def point(self, cell: str, settings: Mapping[str, Any], short: float = 0.0, *, prior: bool = False) -> torch.Tensor:
        """(settings + context + 1,) float64: one row, in [0, 1] but for the cell's number.

        Args:
            cell: its name.
            short: share of its rungs that lie ahead of a run; 0 for a whole one.
            prior: whether the cell is another study's.
        """
        values: list[float] = []
        for name, each in self.settings.items():
            if isinstance(each, CategoricalDistribution):
                values += [float(settings[name] == choice) for choice in each.choices]
            else:
                values.append(_unit(each, settings[name]))
        values += [short] if self._rungs else []
        return torch.tensor(values + self._contexts[cell, prior], dtype=torch.float64)


def _context_columns(cells: Sequence[Sized]) -> list[list[float]]:
    """Columns that say what cells are, with a value a cell. Numbers are scaled to [0, 1], kinds are one-hot; what is
    the same for all cells has no column."""
    columns: list[list[float]] = []
    for number in _NUMBERS:
        values = [number(cell, parameters) for cell, parameters in cells]
        low, high = min(values), max(values)
        if low < high:
            columns.append([(value - low) / (high - low) for value in values])
    for kind in _KINDS:
        names = [kind(cell) for cell, _ in cells]
        levels = sorted(set(names))
        if len(levels) > 1:
            columns += [[float(name == level) for name in names] for level in levels]
    return columns


def inside(distribution: Any, value: Any) -> bool:
    """Whether a setting is one of a space: ranges are the methods'."""
    return not isinstance(distribution, FloatDistribution) or distribution.low <= value <= distribution.high


def _unit(distribution: Any, value: float) -> float:
    assert isinstance(distribution, FloatDistribution)
    low, high, at = distribution.low, distribution.high, value
    if distribution.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)


def candidates_of(space: Space, seed: int) -> list[dict[str, Any]]:
    """The middle, and Sobol points of the rates with every choice of the options in turn; the threshold's middle."""
    rates = {n: e for n, e in space.items() if isinstance(e, FloatDistribution) and n != "delta"}
    options = {n: e.choices for n, e in space.items() if isinstance(e, CategoricalDistribution)}
    choices = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
    sobol = qmc.Sobol(len(rates), seed=seed).random(_CANDIDATES)
    found = [middle(space)]
    for number, row in enumerate(sobol.tolist()):
        point = {name: _value(each, unit) for (name, each), unit in zip(rates.items(), row, strict=True)}
        found.append(found[0] | choices[number % len(choices)] | point)
    return found


def _value(distribution: FloatDistribution, unit: float) -> float:
    low, high = distribution.low, distribution.high
    if not distribution.log:
        return low + unit * (high - low)
    return min(max(math.exp(math.log(low) + unit * (math.log(high) - math.log(low))), low), high)
