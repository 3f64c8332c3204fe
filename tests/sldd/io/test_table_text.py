"""The text of tables: encodings, separators, and files that are no tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from sldd.errors import InputError
from sldd.io.label_table import read_table

TABLE = "patient_id,image,findings\nJosé,a.png,épanchement\nP2,b.png,\n"
ROWS = [(2, ["José", "a.png", "épanchement"]), (3, ["P2", "b.png", ""])]


def _read(tmp_path: Path, content: bytes) -> list[tuple[int, list[str]]]:
    (tmp_path / "t.csv").write_bytes(content)
    return read_table(tmp_path / "t.csv", "t")[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_that_say_what_they_are(tmp_path: Path, encoding: str, end: str) -> None:
    assert _read(tmp_path, TABLE.replace("\n", end).encode(encoding)) == ROWS


def test_both_orders_of_utf16(tmp_path: Path) -> None:
    assert _read(tmp_path, b"\xfe\xff" + TABLE.encode("utf-16-be")) == ROWS
    assert _read(tmp_path, b"\xff\xfe" + TABLE.encode("utf-16-le")) == ROWS


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (TABLE.encode("cp1252"), "t line 2: a letter in another encoding than UTF-8"),
        (TABLE.replace("\n", "\r\n").encode("latin-1"), "t line 2: a letter in another encoding than UTF-8"),
        (TABLE.replace("José", "Jose").replace("épan", "epan").encode("utf-16-le"), "t: not UTF-8 text"),
        (TABLE.encode("utf-16")[:-1], "t: UTF-16 that breaks off"),
        (TABLE.encode("utf-32"), "t: UTF-32 text"),
        (b"PK\x03\x04" + bytes(40), "t: an Excel or LibreOffice workbook, not a table"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "t: an old Excel workbook"),
        (b"\x1f\x8b\x08" + bytes(20), "t: a compressed file"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "t: a page of the web"),
        (b"sep=|\n" + TABLE.replace(",", "|").encode(), "t line 1: separated by none of commas, semicolons, tabs"),
        (b"", "t: no rows"),
        (b"patient_id,image\n,\n", "t: no rows"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        _read(tmp_path, content)
    assert says in str(caught.value)
    assert "Jos" not in str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("said", ["", "sep={0}\n", '"sep={0}"\n', "SEP={0}\r\n"])
def test_separators(tmp_path: Path, separator: str, said: str) -> None:
    lines = 1 if said else 0
    text = said.format(separator) + TABLE.replace(",", separator)
    assert _read(tmp_path, text.encode()) == [(line + lines, cells) for line, cells in ROWS]


def test_a_separator_within_quotes_is_none(tmp_path: Path) -> None:
    content = b'id;"findings, joined; by |, as, written"\n1;"heart; lung, both"\n'
    assert _read(tmp_path, content) == [(2, ["1", "heart; lung, both"])]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("a;b;c", "t line 2: separated by semicolons, and the headings by commas"),
        ("a,b", "t line 2: fewer cells than columns"),
        ("a,b,c,d", "t line 2: more cells than columns; quote cells that hold a comma"),
        ('a,b,"c\nd,e,f', "t line 3: no cells in quotes and commas; is there a quote that does not end"),
        ('a,"b"x,c', "t line 2: no cells in quotes and commas"),
        ('a, "b",c', "t line 2: a quote after a blank"),
        ("a,b," + "c" * 200_000, "t line 2: no cells in quotes and commas"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path: Path, rows: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        _read(tmp_path, f"x,y,z\n{rows}\n".encode())
    assert says in str(caught.value)


def test_quotes_within_quotes_are_text(tmp_path: Path) -> None:
    """In a column of reports, say, that nobody reads here."""
    content = b'id,report,x\n1,"""clear"" lungs,\nno effusion",2\n'
    assert _read(tmp_path, content) == [(3, ["1", '"clear" lungs,\nno effusion', "2"])]


def test_lines_and_cells_without_anything_are_left_out(tmp_path: Path) -> None:
    content = b"\n , \nx,y,\n1,2,\n,,\n\n3,4\n5,6,,,\n"
    assert _read(tmp_path, content) == [(4, ["1", "2", ""]), (7, ["3", "4", ""]), (8, ["5", "6", ""])]
