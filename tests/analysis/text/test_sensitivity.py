"""The fragility tables of packages, read and shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.dashboard import write_dashboard
from analysis.records.records import read_study
from analysis.text.sensitivity import COLUMNS, FILE, fragility_table, fragility_tables, in_words
from sldd.package.apply.sensitivity import COLUMNS as WRITTEN
from tests.analysis.conftest import Ledger

TABLE = f"""{",".join(WRITTEN)}
as made,,done,12,0.9,0.95,0.9,0.9,0,0,0,0,
order: labels,,done,12,0.1,0.2,0.1,0.1,0,11,0.8,0.9,
backbone,<b>,cannot run,12,,,,,,,,,takes no 32 px
"""


def test_it_reads_what_is_written() -> None:
    assert set(COLUMNS) <= set(WRITTEN)


def test_a_table_is_shown_in_words(ledger: Callable[..., Ledger]) -> None:
    study = ledger()
    cell = study.cell("net", 10, 1)
    (study.done(cell, 0) / FILE).write_text(TABLE)
    study.done(cell, 1)
    ((trial, table),) = fragility_tables(read_study(study.folder))
    assert trial == f"{cell}/0"
    assert in_words(table) == [
        ["as made", "0.900", "0.950", "0 of 12", "0", ""],
        ["order: labels", "0.100", "0.200", "11 of 12", "0.8", ""],
        ["backbone <b>", "", "", "", "", "cannot run: takes no 32 px"],
    ]
    page = Path(write_dashboard(study.folder)).read_text()
    assert "not used as it says" in page
    assert "backbone &lt;b&gt;" in page


@pytest.mark.parametrize("damage", ["", "variant\nas made\n", "\x00", '"'])
def test_a_damaged_table_is_not_there(damage: str) -> None:
    assert fragility_table(damage.encode()) is None
