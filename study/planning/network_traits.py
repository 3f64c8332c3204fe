"""Traits of a study's networks at their starts, for its page: what else goes along with the count that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sldd.backbones.start import start_of
from sldd.backbones.traits import measure_traits
from sldd.package.rebuild.rebuild import set_start
from sldd.rng import stream
from study.config.schema import StudyConfig
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.planning.plan import PlannedCell
from study.trial.network import build_network

FEWEST = 8
"""Networks from which traits are worth their seconds: of fewer, ``analysis.stats.ranks.partial`` says nothing."""
_PATCHES = 16
_VERSION = 4
"""Of how traits are measured; rows of another one are measured anew. 1: receptive fields of maps with an even side were
those of a unit at the edge. 2: those behind a layer norm were of rounding errors. 3: any product of matrices was
a layer, widths of transposed convolutions were those of their input, and some norms were not known."""


def traits_of(
    plan: Sequence[PlannedCell],
    config: StudyConfig,
    data: TaskData,
    known: Iterable[dict[str, Any]] = (),
    say: Callable[[str], object] = lambda _: None,
) -> list[dict[str, Any]]:
    """Traits of each backbone that is distilled on the study's own patients, by its first cell: ``backbone``,
    ``norm``, ``start``, ``version`` and the attributes of ``sldd.backbones.traits.Traits``. None of a network that
    cannot be measured, and none at all where there are fewer than ``FEWEST``.

    Args:
        known: rows from before; those of this version stay.
        say: told before it takes a while.
    """
    rows = {str(row["backbone"]): row for row in known if row.get("version") == _VERSION}
    cells: dict[str, Cell] = {}
    for entry in plan:
        cell = entry.cell
        if entry.refused is None and cell.stage is None and not cell.chain and cell.images is not None:
            cells.setdefault(cell.backbone, cell)
    if len(cells) < FEWEST:
        return list(rows.values())
    if new := len(cells.keys() - rows.keys()):
        say(f"measuring depth, width and other traits of {new} networks at their starts")
    for backbone, cell in cells.items():
        if backbone not in rows and (traits := _measured(cell, config, data)) is not None:
            about = {"backbone": backbone, "norm": cell.norm, "start": cell.start, "version": _VERSION}
            rows[backbone] = about | traits
    return list(rows.values())


def _measured(cell: Cell, config: StudyConfig, data: TaskData) -> dict[str, Any] | None:
    count = max(_PATCHES, data.fewest)
    images, targets = data.batches.draw(stream(config.seed, "traits"), count + count % 2)  # linearity takes pairs
    try:
        network = build_network(cell, data.input)
        start = start_of(cell.backbone, cell.start, config.pretrained)
        set_start(
            network, backbone=cell.backbone, start=start, seed=config.seed, norm=cell.norm, classes=data.input.classes
        )
        return asdict(
            measure_traits(network, images, targets, lambda outputs, truth: data.loss.outer(outputs, truth, truth))
        )
    except Exception:  # a network may object in any way; its trials are none the worse for it
        return None
