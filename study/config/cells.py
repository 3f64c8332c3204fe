"""Axes -> cells: every point of a study's grid, as its methods and its task span it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sldd.errors import InputError
from study.config.methods import METHODS
from study.config.tasks import TASKS
from study.grid.axes import Cell, GridSettings, common_cells


def cells(blocks: Sequence[GridSettings], folds: int | None = None, task: str = "patches") -> list[Cell]:
    """All cells, backbone by backbone within a block, without repeats; ``folds`` of each, where they rotate.

    Raises:
        InputError: a setting's image counts are both listed and searched, or two cells have one name.
    """
    found: dict[Cell, None] = {}
    for block in blocks:
        for cell in common_cells(block):
            found |= dict.fromkeys(METHODS[cell.method].cells(cell, block, TASKS[task]))
    listed = {replace(cell, images=None) for cell in found if not cell.counted}
    for cell in found:
        if cell.counted and replace(cell, images=None, counted=False) in listed:
            raise InputError(
                f"grid: the image counts of {cell.backbone} are listed in one block and searched in another; "
                "do one of them"
            )
    named: dict[str, Cell] = {}
    for cell in found:
        if named.setdefault(cell.name, cell) != cell:
            raise InputError(f"grid: two cells would be called {cell.name}; files of weights need names of their own")
    return [replace(cell, fold=fold) for cell in found for fold in (range(folds) if folds else [None])]
