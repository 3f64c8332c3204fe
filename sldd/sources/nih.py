"""NIH ChestX-ray14 source (Wang et al., CVPR 2017): 112,120 films of 14 findings, and subsets of it.

Read as it is published and as it is passed on: ``Data_Entry_2017.csv`` (whose lines end with a comma and whose headings
hold some), ``Data_Entry_2017_v2020.csv``, copies with other headings, tables with a 0/1 column a finding; films as PNG
files anywhere under the folder. Of a row only the film's name, the patient and the findings are read. The collection's
own lists of training and test films are not used: ``data.split`` divides patients anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sldd.errors import InputError
from sldd.io.cells import binary
from sldd.io.label_table import Table, column, find_column, plain, read_table
from sldd.io.patient_ids import patient_id
from sldd.sources.labelled_films import LABEL_TABLE, LabelledFilms, Row
from sldd.sources.same_name import same_content

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
NONE = "No Finding"
_TABLE = LABEL_TABLE
_NAMED = re.compile(r"(\d{8})_\d{3}\.png")
"""Films as the collection names them: the patient, and a number."""
_PLACES = {plain(finding): place for place, finding in enumerate(FINDINGS)}


@dataclass(frozen=True)
class NihSettings:
    """NIH ChestX-ray14."""

    table: str | None = None
    """Name of the table in ``data.root``; the only one there unless given."""


def read_nih(root: Path, settings: NihSettings, film_size: int, channels: int = 1) -> LabelledFilms:
    """The films that the table lists.

    Raises:
        InputError: no table or several, or a row that cannot be used, named by its line number.
    """
    header, lines = read_table(root / settings.table, _TABLE) if settings.table else _find_table(root)
    image = column(header, _TABLE, "Image Index", "Image")
    patient = column(header, _TABLE, "Patient ID")
    findings = _findings(header)
    films = _films(root)
    respelled = False
    rows: list[Row] = []
    first: dict[str, int] = {}
    for line, cells in lines:
        where, name = f"{_TABLE} line {line}", cells[image]
        if not name or not cells[patient]:
            raise InputError(f"{where}: no film or no patient; fill both cells or remove the line")
        if first.setdefault(name, line) != line:
            raise InputError(f"{where}: the film of line {first[name]} again; keep one of the two")
        if name not in films:
            raise InputError(f"{where}: the film is not among the PNG files of data.root; add it or remove the line")
        if len(films[name]) > 1 and not same_content(films[name]):
            raise InputError(
                f"{where}: {len(films[name])} PNG files below data.root have this name and other content (masks beside "
                "films?); keep one, or name another folder"
            )
        whose = patient_id(cells[patient], where)
        if (named := _NAMED.fullmatch(name)) and whose.isdecimal() and int(whose) != int(named[1]):
            raise InputError(f"{where}: the film's name has another patient than the column; was one sorted alone?")
        respelled |= whose != cells[patient]
        rows.append(Row(whose, films[name][0], findings(cells, where), where, line))
    return LabelledFilms(FINDINGS, rows, film_size, respelled=respelled, channels=channels)


def _films(root: Path) -> dict[str, list[Path]]:
    """PNG files below a folder by name, in order; not those of hidden folders, where programs keep small copies."""
    films: dict[str, list[Path]] = {}
    above = len(root.parts)
    for path in sorted(root.rglob("*.png")):
        if not any(part.startswith(".") or part == "__MACOSX" for part in path.parts[above:]):
            films.setdefault(path.name, []).append(path)
    return films


def _find_table(root: Path) -> Table:
    found, refused = [], []
    for path in sorted(root.glob("*.csv")):
        try:
            header, lines = read_table(path, _TABLE)
            column(header, _TABLE, "Patient ID")
            _findings(header)
        except InputError as error:
            refused.append(error)  # or another table: split lists and bounding boxes lie there too
            continue
        found.append((header, lines))
    if not found and len(refused) == 1:
        raise refused[0]
    if len(found) != 1:
        raise InputError(
            f"data.root: {len(found) or 'no'} tables like Data_Entry_2017.csv in {root}; "
            "name the one that is meant (data.nih.table=NAME)"
        )
    return found[0]


def _findings(header: list[str]) -> Callable[[list[str], str], tuple[float, ...]]:
    """A parser of the 14 findings in a row's cells."""
    if _PLACES.keys() <= {plain(heading) for heading in header}:
        if find_column(header, _TABLE, "Finding Labels") is not None:
            raise InputError(f"{_TABLE}: findings both in words and in a column each; remove what is not meant")
        places = [column(header, _TABLE, finding) for finding in FINDINGS]
        return lambda cells, where: tuple(_digit(cells[place], where) for place in places)
    labels = column(header, _TABLE, "Finding Labels")
    return lambda cells, where: _joined(cells[labels], where)


def _digit(cell: str, where: str) -> float:
    value = binary(cell)
    if value is None:
        raise InputError(f"{where}: a finding is neither 0 nor 1; write one of them")
    return value


def _joined(cell: str, where: str) -> tuple[float, ...]:
    """``Cardiomegaly|Effusion``, or ``No Finding``."""
    values = [0.0] * len(FINDINGS)
    names = [plain(name) for name in cell.split("|")]
    if names == [plain(NONE)]:
        return tuple(values)
    for name in names:
        if name not in _PLACES:  # not quoted: a cell in the wrong column may be anything
            raise InputError(f"{where}: a label is none of the 14 of ChestX-ray14 (or {NONE} alone); correct it")
        values[_PLACES[name]] = 1.0
    return tuple(values)
