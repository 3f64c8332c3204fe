"""Ordinary training among the cells of a study, and which of it distilled cells are held against.

The answer has the same of records (``analysis.records.cell_means``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.records.cell_means import nearest_epochs
from ledger.schema import TRAINED_ALIKE
from study.grid.axes import Cell


def trains_on_all(cell: Cell) -> bool:
    """True for ordinary training on the study's own patients, all of them: patches of all classes, or whole films."""
    return cell.images is None and cell.train_patches is None and cell.train_classes != "NP" and cell.stage is None


def likeness(cell: Cell) -> tuple[Any, ...]:
    """What ordinary training has in common with the distillation that it is held against."""
    return tuple(getattr(cell, name) for name in TRAINED_ALIKE)


def trained_beside(cells: Sequence[Cell], cell: Cell, usual: int | None) -> list[Cell]:
    """Those of ``cells`` that are the ordinary training a distilled one is held against, one a fold where folds rotate;
    of several numbers of epochs its own, or else the most.

    Args:
        usual: the epochs of cells without a number of their own; None where outer steps are counted instead.
    """
    alike = [each for each in cells if trains_on_all(each) and likeness(each) == likeness(cell)]
    nearest = nearest_epochs((each.epochs for each in alike), cell.epochs, usual)
    return [each for each in alike if each.epochs == nearest]
