"""Parameters and memory of cells' networks, and why cells cannot be run, from shapes alone: nothing is allocated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sldd.backbones.mixed import Mixed
from sldd.backbones.registry import parameter_count
from sldd.backbones.start import PRETRAINED, SEEDED, copy_weights, start_of
from sldd.errors import InputError
from sldd.package.rebuild.rebuild import read_weights
from sldd.pipeline.refusal import why_not
from sldd.training.outer_settings import OuterSettings
from study.config.methods import METHODS, private_refusal
from study.config.schema import StudyConfig
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.trial.network import build_network


@dataclass(frozen=True)
class Shapes:
    """What shapes say of a cell."""

    parameters: int | None
    """None where the network cannot be built."""
    refused: str | None = None
    """Why the cell cannot be run."""
    memory: int | None = None
    """Bytes that a trial needs at most; None where shapes do not tell, or the cell cannot be run."""


class ShapeCheck:
    """Checks the cells of a plan; those of one network and shape only once.

    Of the image counts of a network the most is checked. Where that many fit, fewer do; but for one, which batch norm
    may refuse.

    Args:
        cells: all that will be checked.
        memory: bytes that a trial can have; None where the machines are not known.
    """

    def __init__(self, cells: Iterable[Cell], config: StudyConfig, memory: int | None) -> None:
        self._config, self._memory = config, memory
        self._known: dict[Cell, Shapes] = {}
        self._most: dict[Cell, int] = {}
        for shapes in map(_shapes, cells):
            alike = replace(shapes, images=None)
            self._most[alike] = max(self._most.get(alike, 0), shapes.images or 0)

    def fits(self, memory: int | None) -> bool:
        """Whether what needs that much is known to run here."""
        return memory is not None and (self._memory is None or memory <= self._memory)

    def check(self, cell: Cell, outer: OuterSettings, data: TaskData) -> Shapes:
        shapes = _shapes(cell)
        most = self._most[replace(shapes, images=None)]
        if shapes not in self._known and cell.images not in (None, 1, most):
            whole = self.check(replace(cell, images=most), outer, data)
            if whole.refused is None:
                self._known[shapes] = whole
        if shapes not in self._known:
            self._known[shapes] = _check(cell, self._config, outer, self._memory, data)
        return self._known[shapes]


def _shapes(cell: Cell) -> Cell:
    """The cell without what changes no shape."""
    return replace(cell, label_init=None, fold=None, counted=False)


def _check(cell: Cell, config: StudyConfig, outer: OuterSettings, memory: int | None, data: TaskData) -> Shapes:
    side = data.input.side
    try:
        with torch.device("meta"):
            network = build_network(cell, data.input)
    except InputError as error:
        return Shapes(None, str(error))
    parameters = parameter_count(network)
    try:
        _check_start(cell, config, network, len(data.input.classes))
    except InputError as error:
        return Shapes(parameters, str(error))
    if config.privacy.noise is not None:
        inits = config.search.options.get("image_init", [config.distill.image_init])
        reason = private_refusal(cell.method, network, "real" if "real" in inits else "noise")
        if reason is not None:
            return Shapes(parameters, reason)
    try:
        wanted = METHODS[cell.method].memory(network, cell, config, outer, data)
    except InputError as error:
        return Shapes(parameters, str(error))
    except NotImplementedError as error:
        if "derivative" in str(error):
            return Shapes(parameters, why_not(error, cell.backbone, cell.images, side))
        return Shapes(parameters)  # an operation without a shape-only version; the timed step will tell
    except Exception as error:  # whatever a network says about its input
        return Shapes(parameters, why_not(error, cell.backbone, cell.images, side))
    if memory is not None and wanted > memory:
        reason = (
            f"{cell.backbone} at {side} x {side} needs about {wanted / 2**30:.1f} GiB and a trial can have "
            f"{memory / 2**30:.1f} GiB here; lower resources.concurrent, outer.batch_size or patches.input_size, or "
            "set compute.micro_batch"
        )
        return Shapes(parameters, reason)
    return Shapes(parameters, memory=wanted)


def _check_start(cell: Cell, config: StudyConfig, network: torch.nn.Module, classes: int) -> None:
    """Raise an InputError where the weights that a cell starts from cannot be had or do not fit."""
    if isinstance(network, Mixed) and PRETRAINED in cell.chain:
        read_weights(cell.backbone, start_of(cell.backbone, PRETRAINED, config.pretrained), cell.norm)
    elif cell.start not in SEEDED and not cell.chain:
        start = start_of(cell.backbone, cell.start, config.pretrained)
        weights = read_weights(cell.backbone, start, cell.norm)
        copy_weights(network, weights, where=Path(start).name, classes=classes)
