"""Tables of films as collections publish them and hospitals export them: CSV, with the quirks that are known."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from sldd.errors import InputError

MOST_BYTES = 2**26
"""CheXpert's table, of 224,316 films, has 22 MB."""
MOST_COLUMNS = 1_000
MOST_CELLS = 10_000_000


def read_table(path: Path, name: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and rows of a comma-separated table, cells stripped, every row as long as the header.

    Empty cells beyond the header are dropped (NIH's table of 2017 ends its lines with a comma), cells that a row lacks
    are empty, and so are lines skipped that have none.

    Args:
        path: of the file.
        name: what messages call it.

    Returns:
        The header, and for every row the number of its (last) line and its cells.

    Raises:
        InputError: no such file, no table, no rows, or a row with more cells than the header.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{name}: not a file")  # a pipe would keep us waiting
        with path.open(newline="", encoding="utf-8-sig") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise InputError(f"{name}: more than {MOST_BYTES >> 20} MiB, as no table of films has")
            reader = csv.reader(file)
            header = [cell.strip() for cell in next(reader, [])]
            if len(header) > MOST_COLUMNS:
                raise InputError(f"{name}: more than {MOST_COLUMNS} columns, as no table of films has")
            rows = []
            for cells in reader:
                row, beyond = cells[: len(header)], cells[len(header) :]
                if any(cell.strip() for cell in beyond):
                    raise InputError(
                        f"{name} line {reader.line_num}: more cells than columns; quote cells that hold a comma"
                    )
                if any(cell.strip() for cell in row):
                    row += [""] * (len(header) - len(row))
                    rows.append((reader.line_num, [cell.strip() for cell in row]))
                if len(rows) * len(header) > MOST_CELLS:
                    raise InputError(f"{name}: more than {MOST_CELLS:,} cells, as no table of films has")
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{name}: not a UTF-8 comma-separated table; save it as one") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); it should lie in data.root") from None
    if not rows:
        raise InputError(f"{name}: no rows; list one radiograph a row")
    return header, rows


def plain(heading: str) -> str:
    """A heading without the spelling that copies of a table differ in: case, spaces and underscores."""
    return "".join(heading.casefold().split()).replace("_", "")


def column(header: list[str], name: str, *headings: str) -> int:
    """The place of the column that has one of these headings, however spelled.

    Raises:
        InputError: there is none.
    """
    wanted = {plain(heading) for heading in headings}
    for place, heading in enumerate(header):
        if plain(heading) in wanted:
            return place
    raise InputError(f"{name}: no column {' or '.join(headings)}; docs/chest.md lists the columns")
