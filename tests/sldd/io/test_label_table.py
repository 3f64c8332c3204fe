"""Label tables: those larger than any real table are refused before they are kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sldd.errors import InputError
from sldd.io import label_table as table
from sldd.io import table_text
from sldd.io.label_table import read_table


def test_short_rows_under_a_long_header_may_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_CELLS", 1_000)
    path = tmp_path / "t.csv"
    header = "a" + "," * 9  # a row need not have the cells under empty headings
    path.write_text(header + "\n" + "x\n" * 100)
    assert len(read_table(path, "t")[1]) == 100
    path.write_text(header + "\n" + "x\n" * 101)
    with pytest.raises(InputError, match="t: more than 1,000 cells"):
        read_table(path, "t")


def test_size_and_columns_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("," * table.MOST_COLUMNS + "\nx\n")
    with pytest.raises(InputError, match="columns"):
        read_table(path, "t")
    with path.open("r+b") as file:
        file.truncate(table_text.MOST_BYTES + 1)  # sparse
    with pytest.raises(InputError, match="64 MiB"):
        read_table(path, "t")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(InputError, match="t: not a file"):
        read_table(tmp_path / "t.csv", "t")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    try:
        header, rows = read_table(path, "t")
    except InputError:
        return
    else:
        assert rows
        assert all(len(cells) == len(header) for _, cells in rows)
