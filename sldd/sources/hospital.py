"""A hospital's own films with findings: a folder of DICOM (or PNG, JPEG, TIFF) films and a table of what is on them.

The table, ``labels.csv``, has columns ``patient_id,image,findings``: a path within the folder, and findings joined by
``|`` or ``;``. A cell that is empty or says ``normal`` or ``no finding`` is a film without any: its labels are all 0.

Hospitals write down more categories than there are films to learn them from. A mapping merges them: a YAML file of
``category: class`` lines, or a CSV file with these two columns; a category without a class is dropped. Where there is a
mapping, every category has to be in it. Copies of a film, and classes with too few films, are left out while films are
decoded (``sldd.data.deduplicate``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from annotated_types import Ge

from sldd.errors import InputError
from sldd.io.label_table import column, read_table
from sldd.io.safe_path import inside
from sldd.sources.labelled_films import LabelledFilms, Row

_TABLE = "label table"
_MAPPING = "data.hospital.mapping"
_NORMAL = {"", "normal", "no finding"}


@dataclass(frozen=True)
class HospitalSettings:
    """A hospital's own films."""

    table: str = "labels.csv"
    """Name of the table in ``data.root``."""
    mapping: str | None = None
    """Name of the mapping in ``data.root``; without one every category is a class."""
    smallest_class: Annotated[int, Ge(1)] = 2
    """Classes on fewer films are dropped, and named."""


def read_hospital(root: Path, settings: HospitalSettings, film_size: int) -> LabelledFilms:
    """The films that the table lists.

    Raises:
        InputError: no table, a missing column, or a row that cannot be used, named by its line number.
    """
    header, lines = read_table(root / settings.table, _TABLE)
    patient, image = column(header, _TABLE, "patient_id"), column(header, _TABLE, "image")
    findings = column(header, _TABLE, "findings")
    mapping = _read_mapping(root / settings.mapping) if settings.mapping else None
    classes = _classes(mapping) if mapping is not None else _all_categories(lines, findings)
    rows = []
    for line, cells in lines:
        where = f"{_TABLE} line {line}"
        if not cells[patient] or not cells[image]:
            raise InputError(f"{where}: no patient or no image; fill both cells or remove the line")
        named = set()
        for category in _categories(cells[findings]):
            key = category.casefold()
            if mapping is not None and key not in mapping:
                raise InputError(f"{where}: a finding that the mapping does not have; add it there or correct the line")
            named.add((category if mapping is None else mapping[key] or "").casefold())
        values = tuple(float(name.casefold() in named) for name in classes)
        rows.append(Row(cells[patient], inside(root, cells[image], where), values, where))
    return LabelledFilms(classes, rows, film_size, settings.smallest_class)


def _categories(cell: str) -> list[str]:
    """What a cell names, but for words that say there is nothing."""
    names = [" ".join(name.split()) for name in re.split(r"[|;]", cell)]
    return [name for name in names if name.casefold() not in _NORMAL]


def _all_categories(lines: list[tuple[int, list[str]]], findings: int) -> list[str]:
    named: dict[str, str] = {}
    for _, cells in lines:
        for category in _categories(cells[findings]):
            named.setdefault(category.casefold(), category)
    if not named:
        raise InputError(f"{_TABLE}: no film has a finding; name some in the column findings")
    return [named[key] for key in sorted(named)]


def _classes(mapping: dict[str, str | None]) -> list[str]:
    """In the order in which the mapping names them first."""
    classes = list({name.casefold(): name for name in reversed(list(mapping.values())) if name}.values())[::-1]
    if not classes:
        raise InputError(f"{_MAPPING}: it names no class; write lines of category: class")
    return classes


def _read_mapping(path: Path) -> dict[str, str | None]:
    """Class by category (in lower case), None where a category is dropped."""
    if path.suffix.lower() == ".csv":
        header, lines = read_table(path, _MAPPING)
        old, new = column(header, _MAPPING, "category"), column(header, _MAPPING, "class")
        pairs: list[tuple[object, object]] = [(cells[old], cells[new] or None) for _, cells in lines]
    else:
        try:
            text = path.read_text(encoding="utf-8")
            for event in yaml.parse(text, yaml.SafeLoader):
                # A list, or a mapping in the mapping, is nested for no reader; a few aliases stand for any number.
                if isinstance(event, yaml.AliasEvent | yaml.SequenceStartEvent):
                    raise InputError(
                        f"{_MAPPING}: not a mapping of words (it has lists or aliases); write lines of category: class"
                    )
            tree = yaml.safe_load(text)
        except OSError as error:
            raise InputError(f"{_MAPPING}: cannot be read ({error.strerror}); name a file in data.root") from None
        except InputError:
            raise
        except Exception:  # YAML's own, and those of values that are not what they look like
            raise InputError(f"{_MAPPING}: not a YAML file; write lines of category: class") from None
        if not isinstance(tree, dict):
            raise InputError(f"{_MAPPING}: not a mapping; write lines of category: class")
        pairs = list(tree.items())
    mapping: dict[str, str | None] = {}
    for category, name in pairs:
        if not isinstance(category, str) or not (name is None or isinstance(name, str)):
            raise InputError(f"{_MAPPING}: a category or a class is no text; put it in quotes")
        key = " ".join(category.split()).casefold()
        if not key or key in mapping:
            raise InputError(f"{_MAPPING}: a category is empty or there twice; keep one")
        mapping[key] = None if name is None else " ".join(name.split())
    return mapping
