"""Plan of a study: which cells cannot be run, and the expected cost of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sldd.backbones.registry import check_name
from sldd.training.dp_sgd import check_accountant
from sldd.training.outer_settings import OuterSettings
from study.config.methods import METHODS
from study.config.rungs import rung_steps
from study.config.schema import StudyConfig
from study.config.search_settings import ConfirmSettings
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.grid.chains import starts_from
from study.planning.shape_check import ShapeCheck, Shapes
from study.planning.step_time import StepClock, fresh_seconds, trial_seconds


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and either the reason it is refused or what its trials are expected to take."""

    cell: Cell
    parameters: int | None
    """Of its network; None where that cannot be built."""
    refused: str | None
    seconds: float | None
    """Of a trial."""
    rungs: tuple[int, ...] = ()
    """Steps at which its search trials wait for each other."""
    fresh_seconds: float = 0.0
    """What confirm trials take besides, for fresh starts."""
    memory: int | None = None
    """Bytes that a trial needs at most; None where shapes do not tell."""


def plan_cells(
    cells: list[Cell],
    config: StudyConfig,
    data_by_stage: Mapping[str | None, TaskData],
    *,
    timed: set[Cell],
    memory: int | None,
    known: Mapping[Cell, PlannedCell] = MappingProxyType({}),
    missing: Mapping[str, str] = MappingProxyType({}),
) -> list[PlannedCell]:
    """Check every cell and, for those in ``timed``, measure an outer step of each network (``StepClock``).

    Args:
        data_by_stage: what cells are trained on: the study's own patients (None), or collections by name.
        missing: why a collection is not there.
        memory: bytes that a trial can have; None where the machines are not known.
        known: cells that were planned before and run. Their networks are not checked again where their memory is had
            here, and what their trials take is as it was found, unless they are ``timed``.

    Raises:
        InputError: a backbone's name is unknown, a rung lies beyond a cell's last step, or what a private study needs
            is not installed.
    """
    for backbone in dict.fromkeys([*(cell.backbone for cell in cells), *config.evaluate.backbones]):
        check_name(backbone)
    if config.privacy.noise is not None:
        check_accountant()
    config.compute.apply(config.resources.threads)

    shapes, planned = ShapeCheck(cells, config, memory), dict[Cell, PlannedCell]()
    for cell in cells:
        stranded = _stranded(cell, planned, missing)
        if stranded is None:
            planned[cell] = _checked(cell, config, data_by_stage[cell.stage], shapes, known.get(cell))
        else:
            planned[cell] = PlannedCell(cell, None, stranded, None)

    runnable = [cell for cell in cells if planned[cell].refused is None]
    clock = StepClock((cell for cell in runnable if cell in timed), config)
    for cell in runnable:
        stranded = _stranded(cell, planned, missing)  # by what a timed step has said meanwhile
        if stranded is not None:
            planned[cell] = PlannedCell(cell, None, stranded, None)
        elif cell in timed:
            planned[cell] = _timed(planned[cell], config, data_by_stage[cell.stage], clock)
    clock.close()
    return list(planned.values())


def _checked(
    cell: Cell, config: StudyConfig, data: TaskData, shapes: ShapeCheck, before: PlannedCell | None
) -> PlannedCell:
    """A cell, checked by what can be told without a step; what its trials take is as it was found ``before``."""
    outer = cell_budget(config, cell, data)
    if before is not None and shapes.fits(before.memory):
        found = Shapes(before.parameters, memory=before.memory)
    else:
        found = shapes.check(cell, outer, data)
    refused = found.refused or _unfit(cell, config, outer, data)
    seconds, fresh = (None, 0.0) if before is None else (before.seconds, before.fresh_seconds)
    rungs = rung_steps(config.search, outer)
    return PlannedCell(cell, found.parameters, refused, seconds, rungs, fresh, found.memory)


def _timed(entry: PlannedCell, config: StudyConfig, data: TaskData, clock: StepClock) -> PlannedCell:
    """A cell with what its trials take by the time of a step, or why that cannot be taken."""
    cell = entry.cell
    outer = cell_budget(config, cell, data)
    step = clock.time(cell, outer, data)
    if isinstance(step, str):
        return replace(entry, refused=step)
    others = [clock.time(other, outer, data) for other in _fresh_networks(cell, config)]
    return replace(
        entry,
        seconds=trial_seconds(cell, step, config, outer, data),
        fresh_seconds=fresh_seconds(cell, others, config, outer, data),
    )


def _unfit(cell: Cell, config: StudyConfig, outer: OuterSettings, data: TaskData) -> str | None:
    """Why a cell cannot be run on these data, whatever its network."""
    # A method that has batches of its own has them from its settings, which have its name.
    whose = "outer" if outer.batch_size == config.outer.batch_size else cell.method
    few = data.batch_refusal(outer.batch_size, f"{whose}.batch_size")
    return few or data.refusal(cell) or METHODS[cell.method].refusal(cell, config, data)


def _fresh_networks(cell: Cell, config: StudyConfig) -> list[Cell]:
    """Cells of ordinary training, of the networks that its confirm trials train on their images."""
    if not config.evaluate.starts or cell.images is None or cell.stage is not None:
        return []
    backbones = dict.fromkeys([cell.backbone, *config.evaluate.backbones])
    return [Cell(backbone, "train", cell.norm) for backbone in backbones]


def _stranded(cell: Cell, planned: Mapping[Cell, PlannedCell], missing: Mapping[str, str]) -> str | None:
    """Why a cell cannot be run for want of a collection, or of a cell that it starts from."""
    if cell.stage is not None and (lacking := [missing[name] for name in cell.stage.split("+") if name in missing]):
        return lacking[0]
    earlier = (planned[other].refused for other in starts_from(cell) if other is not None and other in planned)
    return next(filter(None, earlier), None)


def confirm_settings(config: StudyConfig, cell: Cell) -> ConfirmSettings:
    """Confirm settings of a cell; one that others start from gets a single confirm trial."""
    return config.confirm if cell.stage is None else replace(config.confirm, repeats=1)


def trials_of(config: StudyConfig, cell: Cell, seconds: float | None = None) -> int:
    """Trials that a cell gets, at most; of so many seconds each, if known, as many as ``search.core_seconds`` has."""
    searched, budget = config.search.trials, config.search.core_seconds
    if budget and seconds:
        searched = min(searched, math.ceil(budget / seconds))
    return searched + confirm_settings(config, cell).repeats


def cell_budget(config: StudyConfig, cell: Cell, data: TaskData) -> OuterSettings:
    """The outer loop's settings for a cell: its epochs as steps, and its method's own budget."""
    return METHODS[cell.method].outer_settings(config, data.size, cell.epochs)
