"""Read tables of labels as collections publish them and hospitals export them, by one rule for all.

docs/reading.md states the rules. What the cells of a column may hold is in ``sldd.io.cells`` and
``sldd.io.patient_ids``.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from sldd.errors import InputError
from sldd.io.table_text import SEPARATORS, read_text, split_off_separator

MOST_COLUMNS = 1_000
MOST_CELLS = 10_000_000

Table = tuple[list[str], list[tuple[int, list[str]]]]


def read_table(path: Path, name: str) -> Table:
    """Header and rows of a table, cells stripped, every row as long as the header.

    Empty cells beyond the header are dropped (NIH's table of 2017 ends its lines with a comma), cells that a row lacks
    under empty headings are empty, and lines without any are skipped.

    Args:
        path: of the file.
        name: what messages call it.

    Returns:
        The header, and for every row the number of its (last) line and its cells.

    Raises:
        InputError: no such file, no table, no rows, or a row of more or fewer cells than the header, named by its line.
    """
    separator, text, before = split_off_separator(read_text(path, name), name)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    rows = []
    try:
        for cells in reader:
            if not header and len(cells) > MOST_COLUMNS:
                raise InputError(f"{name}: more than {MOST_COLUMNS} columns, as no such table has")
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                continue
            if not header:
                header = stripped
                continue
            line = before + reader.line_num
            if len(stripped) != len(header):
                stripped = _as_long(stripped, header, separator, f"{name} line {line}")
            if any(cell[:1] == '"' and raw[:1] != '"' for raw, cell in zip(cells, stripped, strict=False)):
                raise InputError(f"{name} line {line}: a quote after a blank; remove the blank")
            rows.append((line, stripped))
            if len(rows) * len(header) > MOST_CELLS:
                raise InputError(f"{name}: more than {MOST_CELLS:,} cells, as no such table has")
    except csv.Error:
        where = f"{name} line {before + reader.line_num}"
        raise InputError(
            f"{where}: no cells in quotes and {SEPARATORS[separator]}; is there a quote that does not end, or text "
            "behind one?"
        ) from None
    if not rows:
        raise InputError(f"{name}: no rows; list one radiograph a row")
    return header, rows


def _as_long(cells: list[str], header: list[str], separator: str, where: str) -> list[str]:
    """The cells of a row, as many as there are headings."""
    if any(cells[len(header) :]):
        raise InputError(f"{where}: more cells than columns; quote cells that hold {_one(separator)}")
    if any(header[len(cells) :]):
        other = next((word for sign, word in SEPARATORS.items() if sign != separator and sign in cells[0]), None)
        if len(cells) == 1 and other:
            raise InputError(f"{where}: separated by {other}, and the headings by {SEPARATORS[separator]}; use one")
        raise InputError(
            f"{where}: fewer cells than columns; write empty cells too ({SEPARATORS[separator]}), and see whether the "
            "table is whole"
        )
    return cells[: len(header)] + [""] * (len(header) - len(cells))


def _one(separator: str) -> str:
    return f"a {SEPARATORS[separator].removesuffix('s')}"


def plain(heading: str) -> str:
    """A heading normalised: without case, blanks, hyphens and underscores."""
    text = "".join(letter for letter in unicodedata.normalize("NFKC", heading).casefold() if letter.isprintable())
    return "".join(text.split()).replace("_", "").replace("-", "")


def find_column(header: list[str], name: str, *headings: str) -> int | None:
    """The place of the column that has one of these headings, however spelled; None where there is none.

    Raises:
        InputError: there are several.
    """
    wanted = {plain(heading) for heading in headings}
    places = [place for place, heading in enumerate(header) if plain(heading) in wanted]
    if len(places) > 1:
        first, second = places[0] + 1, places[1] + 1
        raise InputError(
            f"{name}: columns {first} and {second} are both called {' or '.join(headings)}; rename or remove one"
        )
    return places[0] if places else None


def column(header: list[str], name: str, *headings: str) -> int:
    """The place of the column that has one of these headings, however spelled.

    Raises:
        InputError: there is none, or there are several.
    """
    place = find_column(header, name, *headings)
    if place is None:
        hint = "; is the table one of commas, semicolons or tabs?" if len(header) == 1 else ""
        raise InputError(f"{name}: no column {' or '.join(headings)}{hint or '; docs/reading.md lists the columns'}")
    return place


def refuse_nearly(
    header: Sequence[str], name: str, wanted: str, others: Sequence[str] = (), cure: str | None = None
) -> None:
    """Raise an InputError for a heading that may be meant as a column that is not there: masks, mask_path, splits.

    Args:
        wanted: the column.
        others: words for the same, which a heading may have in it, too.
        cure: how to say that it is; by calling it so, unless given.
    """
    for place, heading in enumerate(header, 1):
        for word in (wanted, *others):
            if plain(word) in plain(heading):
                raise InputError(
                    f"{name}: no column {wanted}, and column {place} has {word} in its heading; "
                    f"{cure or f'call it {wanted}'}, or call it by another word"
                )
