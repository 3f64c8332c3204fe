"""Source of a hospital's own films with findings: DICOM, PNG, JPEG or TIFF files and a table of their findings.

The table, ``labels.csv``, has columns ``patient_id,image,findings``: a path within the folder, and findings joined by
``|`` or ``;``. A cell that is empty or says ``normal`` or ``no finding`` (``sldd.io.cells`` has more such words) is a
film without any: its labels are all 0.

Hospitals write down more categories than there are films to learn them from. A mapping merges them
(``sldd.sources.category_mapping``); a category without a class is dropped. Where there is a mapping, every category has
to be in it. Copies of a film, and classes with too few films, are left out while films are decoded
(``sldd.data.deduplicate``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from sldd.errors import InputError
from sldd.io.cells import finding, no_finding
from sldd.io.label_table import column, plain, read_table
from sldd.io.patient_ids import patient_id
from sldd.io.safe_path import inside
from sldd.sources.category_mapping import classes_of, read_mapping
from sldd.sources.labelled_films import LABEL_TABLE, LabelledFilms, Row

_TABLE = LABEL_TABLE


@dataclass(frozen=True)
class HospitalSettings:
    """A hospital's own films."""

    table: str = "labels.csv"
    """Name of the table in ``data.root``."""
    mapping: str | None = None
    """Name of the mapping in ``data.root``; without one every category is a class."""
    smallest_class: Annotated[int, Ge(1)] = 2
    """Classes on fewer films are dropped, and named."""


def read_hospital(root: Path, settings: HospitalSettings, film_size: int, channels: int = 1) -> LabelledFilms:
    """The films that the table lists.

    Raises:
        InputError: no table, a missing column, or a row that cannot be used, named by its line number.
    """
    header, lines = read_table(root / settings.table, _TABLE)
    patient, image = column(header, _TABLE, "patient_id"), column(header, _TABLE, "image")
    findings = column(header, _TABLE, "findings")
    mapping = read_mapping(root / settings.mapping) if settings.mapping else None
    classes = classes_of(mapping) if mapping is not None else []
    rows: list[tuple[int, str, Path, list[str]]] = []  # line, patient, film, categories
    respelled = False
    for line, cells in lines:
        where = f"{_TABLE} line {line}"
        if not cells[patient] or not cells[image]:
            raise InputError(f"{where}: no patient or no image; fill both cells or remove the line")
        whose = patient_id(cells[patient], where)
        respelled |= whose != cells[patient]
        rows.append((line, whose, inside(root, cells[image], where), _categories(cells[findings], where, mapping)))
    classes = classes or _all_categories([categories for *_, categories in rows])
    films = []
    for line, whose, file, categories in rows:
        present = _mapped(categories, mapping)
        values = tuple(float(name.casefold() in present) for name in classes)
        films.append(Row(whose, file, values, f"{_TABLE} line {line}", line))
    return LabelledFilms(classes, films, film_size, settings.smallest_class, _alike(classes), respelled, channels)


def _categories(cell: str, where: str, mapping: dict[str, str | None] | None) -> list[str]:
    """Categories in a cell, without words for none; a mapping may have such words as categories.

    Raises:
        InputError: a name that cannot be one, that the mapping lacks, or a finding beside a word for none.
    """
    names = [finding(name, where) for name in re.split(r"[|;]", cell)]
    found = [name for name in names if not no_finding(name) or (name and name.casefold() in (mapping or ()))]
    if mapping is not None and any(name.casefold() not in mapping for name in found):
        raise InputError(f"{where}: a finding that the mapping does not have; add it there or correct the line")
    if found and any(name and name not in found for name in names):
        raise InputError(f"{where}: a finding, and a word that says there is none; remove one of the two")
    return found


def _mapped(categories: list[str], mapping: dict[str, str | None] | None) -> set[str]:
    """Classes of a film's categories, in lower case; without a mapping the categories themselves."""
    if mapping is None:
        return {category.casefold() for category in categories}
    classes = [mapping[category.casefold()] for category in categories]
    return {name.casefold() for name in classes if name}


def _all_categories(rows: list[list[str]]) -> list[str]:
    """The categories of all films, sorted, each as it is first spelled; capitals do not tell them apart."""
    named: dict[str, str] = {}
    for names in rows:
        for category in names:
            named.setdefault(category.casefold(), category)
    if not named:
        raise InputError(f"{_TABLE}: no film has a finding; name some in the column findings")
    return [named[key] for key in sorted(named)]


def _alike(classes: list[str]) -> list[str]:
    """A line on each two classes whose names differ only in capitals, blanks, hyphens or underscores."""
    first: dict[str, str] = {}
    notes = []
    for name in classes:
        other = first.setdefault(plain(name), name)
        if other != name:
            notes.append(f"{_TABLE}: {other} and {name} are two classes; if they are one finding, spell it in one way")
    return notes
