"""Plan of a study: which cells cannot be run, and the expected cost of the others."""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch

from sldd.backbones.mixed import Mixed
from sldd.backbones.registry import check_name, parameter_count
from sldd.backbones.start import PRETRAINED, SEEDED, copy_weights, start_of
from sldd.errors import InputError
from sldd.package.rebuild.rebuild import read_weights
from sldd.pipeline.refusal import why_not
from sldd.training.dp_sgd import check_accountant
from sldd.training.outer_settings import OuterSettings
from study.config.methods import METHODS, private_refusal
from study.config.rungs import rung_steps
from study.config.schema import StudyConfig
from study.config.search_settings import ConfirmSettings
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.grid.chains import starts_from
from study.planning.step_time import StepTime, fresh_seconds, time_step, trial_seconds
from study.trial.network import build_network, mixed_bodies


@dataclass(frozen=True)
class PlannedCell:
    """A cell, its network's size, either the reason it is refused or what a trial is expected to take, the steps at
    which its search trials wait for each other, and what confirm trials take besides, for fresh starts."""

    cell: Cell
    parameters: int | None
    refused: str | None
    seconds: float | None
    rungs: tuple[int, ...] = ()
    fresh_seconds: float = 0.0


def plan_cells(
    cells: list[Cell],
    config: StudyConfig,
    data_by_stage: Mapping[str | None, TaskData],
    *,
    timed: set[Cell],
    memory: int | None,
    missing: Mapping[str, str] = MappingProxyType({}),
) -> list[PlannedCell]:
    """Check every cell and, for those in ``timed``, measure one outer step a backbone.

    Args:
        data_by_stage: what cells are trained on: the study's own patients (None), or collections by name.
        missing: why a collection is not there.
        memory: bytes that a trial can have; None where the machines are not known.

    Raises:
        InputError: a backbone's name is unknown, a rung lies beyond a cell's last step, or what a private study needs
            is not installed.
    """
    for backbone in dict.fromkeys([*(cell.backbone for cell in cells), *config.evaluate.backbones]):
        check_name(backbone)
    if config.privacy.noise is not None:
        check_accountant()
    config.compute.apply(config.resources.threads)

    clocks: dict[tuple[object, ...], StepTime | str] = {}

    def clock(cell: Cell, outer: OuterSettings, data: TaskData) -> StepTime | str:
        # One image is timed apart: it is the one that batch norm may refuse.
        one = 1 if cell.images == 1 else None
        key = (cell.backbone, cell.norm, cell.method, one, mixed_bodies(cell), outer.batch_size)
        if key not in clocks:
            clocks[key] = time_step(cell, config, outer, data)
        return clocks[key]

    checked: dict[Cell, tuple[int | None, str | None]] = {}
    largest: dict[Cell, int] = {}
    for shapes in map(_shapes, cells):
        alike = replace(shapes, images=None)
        largest[alike] = max(largest.get(alike, 0), shapes.images or 0)

    planned: list[PlannedCell] = []
    for cell in cells:
        stranded = _stranded(cell, planned, missing)
        if stranded is not None:
            planned.append(PlannedCell(cell, None, stranded, None))
            continue
        data = data_by_stage[cell.stage]
        outer = cell_budget(config, cell, data)
        shapes = _shapes(cell)
        if shapes not in checked:
            most = largest[replace(shapes, images=None)]
            if cell.images is None or cell.images in (1, most):
                checked[shapes] = _check(cell, config, outer, memory, data)
            else:
                # Where the most images fit, fewer do; but for one, which batch norm may refuse.
                whole = replace(shapes, images=most)
                if whole not in checked:
                    checked[whole] = _check(replace(cell, images=most), config, outer, memory, data)
                fits = checked[whole][1] is None
                checked[shapes] = checked[whole] if fits else _check(cell, config, outer, memory, data)
        parameters, refused = checked[shapes]
        # A method that has batches of its own has them from its settings, which have its name.
        whose = "outer" if outer.batch_size == config.outer.batch_size else cell.method
        few = data.batch_refusal(outer.batch_size, f"{whose}.batch_size")
        refused = refused or few or data.refusal(cell) or METHODS[cell.method].refusal(cell, config, data)
        seconds, fresh = None, 0.0
        if refused is None and cell in timed:
            step = clock(cell, outer, data)
            if isinstance(step, str):
                refused = step
            else:
                seconds = trial_seconds(cell, step, config, outer, data)
                others = [clock(other, outer, data) for other in _fresh_networks(cell, config)]
                fresh = fresh_seconds(cell, others, config, outer, data)
        planned.append(PlannedCell(cell, parameters, refused, seconds, rung_steps(config.search, outer), fresh))
    if torch.cuda.is_initialized():  # what the clocks' networks took on a GPU is for the trials
        gc.collect()
        torch.cuda.empty_cache()
    return planned


def _fresh_networks(cell: Cell, config: StudyConfig) -> list[Cell]:
    """Cells of ordinary training, of the networks that its confirm trials train on their images."""
    if not config.evaluate.starts or cell.images is None or cell.stage is not None:
        return []
    backbones = dict.fromkeys([cell.backbone, *config.evaluate.backbones])
    return [Cell(backbone, "train", cell.norm) for backbone in backbones]


def _shapes(cell: Cell) -> Cell:
    """The cell without what changes no shape."""
    return replace(cell, label_init=None, fold=None, counted=False)


def _stranded(cell: Cell, planned: Sequence[PlannedCell], missing: Mapping[str, str]) -> str | None:
    """Why a cell cannot be run for want of a collection, or of a cell that it starts from."""
    if cell.stage is not None and (lacking := [missing[name] for name in cell.stage.split("+") if name in missing]):
        return lacking[0]
    refused = {entry.cell: entry.refused for entry in planned}
    earlier = [refused.get(other) for other in starts_from(cell) if other is not None]
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


def _check(
    cell: Cell, config: StudyConfig, outer: OuterSettings, memory: int | None, data: TaskData
) -> tuple[int | None, str | None]:
    """Parameters, and why the cell cannot be run, from shapes alone: nothing is allocated."""
    side, classes = data.input.side, len(data.input.classes)
    try:
        with torch.device("meta"):
            network = build_network(cell, data.input)
    except InputError as error:
        return None, str(error)
    parameters = parameter_count(network)
    if isinstance(network, Mixed) and PRETRAINED in cell.chain:
        try:
            read_weights(cell.backbone, start_of(cell.backbone, PRETRAINED, config.pretrained), cell.norm)
        except InputError as error:
            return parameters, str(error)
    elif cell.start not in SEEDED and not cell.chain:
        try:
            start = start_of(cell.backbone, cell.start, config.pretrained)
            weights = read_weights(cell.backbone, start, cell.norm)
            copy_weights(network, weights, where=Path(start).name, classes=classes)
        except InputError as error:
            return parameters, str(error)
    if config.privacy.noise is not None:
        inits = config.search.options.get("image_init", [config.distill.image_init])
        reason = private_refusal(cell.method, network, "real" if "real" in inits else "noise")
        if reason is not None:
            return parameters, reason
    try:
        wanted = METHODS[cell.method].memory(network, cell, config, outer, data)
    except InputError as error:
        return parameters, str(error)
    except NotImplementedError as error:
        if "derivative" in str(error):
            return parameters, why_not(error, cell.backbone, cell.images, side)
        return parameters, None  # an operation without a shape-only version; the timed step will tell
    except Exception as error:  # whatever a network says about its input
        return parameters, why_not(error, cell.backbone, cell.images, side)
    if memory is not None and wanted > memory:
        return parameters, (
            f"{cell.backbone} at {side} x {side} needs about {wanted / 2**30:.1f} GiB and a trial can have "
            f"{memory / 2**30:.1f} GiB here; lower resources.concurrent, outer.batch_size or patches.input_size, or "
            "set compute.micro_batch"
        )
    return parameters, None
