"""Chains of transfer learning: cells that train on other collections first, and the cells that start from them.

Of a chain ``[nih, chexpert]`` before the study's own patients, ``regular`` transfer has a cell that trains on nih, one
that goes on from its network on chexpert, and the cell itself, which goes on from that. ``co_trained`` has one cell on
both at once; ``mixed`` one for each, and puts their networks side by side. Cells on other collections are the same for
all that begin with them, and are searched, confirmed, resumed and retried like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sldd.backbones.start import PRETRAINED
from sldd.errors import InputError
from study.grid.axes import Cell


def with_stages(cells: Iterable[Cell]) -> list[Cell]:
    """The cells, each after all those that it starts from."""
    found: dict[Cell, None] = {}

    def add(cell: Cell) -> None:
        for earlier in starts_from(cell):
            if earlier is not None:
                add(earlier)
        found.setdefault(cell)

    for cell in cells:
        add(cell)
    return list(found)


def starts_from(cell: Cell) -> list[Cell | None]:
    """The cells whose networks this one starts from; None for a body that starts pretrained. Empty without a chain."""
    if not cell.chain:
        return []
    if cell.transfer == "mixed":
        return [None if name == PRETRAINED else _stage(cell, (), name) for name in cell.chain]
    if cell.transfer == "co_trained":
        return [_stage(cell, (), "+".join(cell.chain))]
    return [_stage(cell, cell.chain[:-1], cell.chain[-1])]


def _stage(cell: Cell, chain: tuple[str, ...], stage: str) -> Cell:
    """The cell that trains on a collection (or several at once), after those of ``chain``."""
    return replace(cell, chain=chain, transfer="regular" if chain else None, stage=stage, fold=None)


def check_chains(cells: Sequence[Cell], sources: Iterable[str]) -> None:
    """Raise an InputError where a chain names a collection that there is none of."""
    known = list(sources)
    for cell in cells:
        for name in cell.chain:
            if name == PRETRAINED and cell.transfer != "mixed":
                raise InputError("grid.chain: pretrained weights can only come first")
            if name not in known and name != PRETRAINED:
                there = f"there are: {', '.join(known)}" if known else "none is named"
                raise InputError(f"grid.chain: {name!r} is none of sources, of which {there}; add sources.{name}.root")


def chained(cells: Iterable[Cell]) -> list[str]:
    """The collections that cells train on."""
    return list(dict.fromkeys(name for cell in cells if cell.stage for name in cell.stage.split("+")))
