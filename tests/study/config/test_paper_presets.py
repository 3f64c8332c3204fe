"""The papers' presets hold a cell for every published row, at the published sizes and in their small twins."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from analysis.records.records import read_study
from analysis.tables.published_comparison import published_tables
from study.config.cells import cells
from study.config.loader import load
from tests.analysis.conftest import Ledger

TABLES = ["table1", "table2", "table3", "table4", "table5", "table6"]


def _confirmed(preset: str, folder: Path) -> Ledger:
    """A study of a preset with every cell confirmed once."""
    ledger = Ledger(folder)
    for cell in cells(load(preset, []).grid):
        name = ledger.cell(**(asdict(cell) | {"cell": cell.name, "parameters": 1000, "counted": False}))
        ledger.done(name, 0, hm=0.8)
    return ledger


@pytest.mark.parametrize("twin", ["", "-small"])
@pytest.mark.parametrize("preset", TABLES)
def test_every_published_row_has_a_cell(tmp_path: Path, preset: str, twin: str) -> None:
    study = read_study(_confirmed(preset + twin, tmp_path / preset).folder)
    (table,) = published_tables([study], [int(preset[-1])])
    assert table.frame["status"].eq("").all(), table.frame[["row", "status"]]
    remarked = table.frame["remarks"].str.replace("at the 95 % level exactly 1", "")
    if not twin and preset != "table6":
        assert remarked.eq("").all(), "nothing about the cells is not as published"


@pytest.mark.parametrize("preset", ["paper", "paper-small"])
def test_all_of_them_hold_every_row_of_every_table(tmp_path: Path, preset: str) -> None:
    study = read_study(_confirmed(preset, tmp_path / preset).folder)
    for table in published_tables([study]):
        assert table.frame["status"].eq("").all(), table.title


def test_the_pictures_are_of_the_papers_three_cells() -> None:
    for preset in ("figures4-6", "figures4-6-small"):
        found = {
            (cell.method, cell.images, cell.distill_steps, cell.distill_epochs) for cell in cells(load(preset, []).grid)
        }
        assert found == {("sldd", 3, 3, 3), ("dd", 3, 3, 3), ("sldd", 1, 3, 3)}


def test_published_epochs() -> None:
    grid = cells(load("paper", []).grid)
    assert load("paper", []).outer.epochs == 400
    halved = {cell.backbone for cell in grid if cell.epochs == 200}
    assert halved == {"paper/resnet34", "paper/vgg16", "paper/vgg19"}
    assert all(cell.epochs in (None, 200) for cell in grid)
