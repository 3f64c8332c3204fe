"""CheXpert source (Irvin et al., AAAI 2019): 224,316 films with findings that may be uncertain.

``data.root`` is the folder that holds ``train.csv``. Of a row only the path, the view and the findings asked for are
read. A finding is 1.0, 0.0, -1.0 (uncertain) or empty: not mentioned in the report, which counts as absent, as the
collection's authors have it. The patient is the ``patientNNNNN`` of the path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import nan
from pathlib import Path, PurePosixPath
from typing import Literal

from sldd.errors import InputError
from sldd.io.cells import binary
from sldd.io.label_table import column, plain, read_table
from sldd.io.radiograph import exists
from sldd.io.safe_path import inside
from sldd.sources.labelled_films import LABEL_TABLE, LabelledFilms, Row
from sldd.sources.same_name import same_content

COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
_TABLE = LABEL_TABLE
_UNCERTAIN = {"ignore": nan, "zeros": 0.0, "ones": 1.0}
_VIEWS = ("frontal", "lateral")


@dataclass(frozen=True)
class CheXpertSettings:
    """CheXpert."""

    table: str = "train.csv"
    """Name of the table in ``data.root``."""
    uncertain: Literal["ignore", "zeros", "ones"] = "ignore"
    """What -1.0 stands for: U-Ignore (not known: neither trained on nor scored), U-Zeros or U-Ones."""
    view: Literal["frontal", "lateral", "both"] = "frontal"
    findings: tuple[str, ...] = COMPETITION
    """Columns of the table; the published five unless given."""


def read_chexpert(root: Path, settings: CheXpertSettings, film_size: int, channels: int = 1) -> LabelledFilms:
    """The films that the table lists, of the views asked for.

    Raises:
        InputError: no table, a missing column, or a row that cannot be used, named by its line number.
    """
    if not settings.findings or len({plain(finding) for finding in settings.findings}) < len(settings.findings):
        raise InputError("data.chexpert.findings: name one column or more, each once")
    header, lines = read_table(root / settings.table, _TABLE)
    path, view = column(header, _TABLE, "Path"), column(header, _TABLE, "Frontal/Lateral")
    places = [column(header, _TABLE, finding) for finding in settings.findings]
    rows: list[Row] = []
    first: dict[str, int] = {}
    for line, cells in lines:
        where = f"{_TABLE} line {line}"
        if cells[view].casefold() not in _VIEWS:
            raise InputError(f"{where}: the view is neither Frontal nor Lateral; correct it")
        if settings.view not in ("both", cells[view].casefold()):
            continue
        name = cells[path].replace("\\", "/")
        if first.setdefault(name, line) != line:
            raise InputError(f"{where}: the film of line {first[name]} again; keep one of the two")
        patient = re.search(r"(?:^|/)(patient\d+)/", name)
        if patient is None:
            raise InputError(f"{where}: the path names no patient (.../patientNNNNN/...); correct it")
        findings = tuple(_finding(cells[place], settings.uncertain, where) for place in places)
        rows.append(Row(patient[1], _file(root, name, where), findings, where, line))
    if not rows:
        raise InputError(f"{_TABLE}: no {settings.view} films; change data.chexpert.view")
    return LabelledFilms(settings.findings, rows, film_size, channels=channels)


def _file(root: Path, path: str, where: str) -> Path:
    """Paths begin with the collection's own name, which may be the folder's or one in it."""
    whole = inside(root, path, where)
    without = root.joinpath(*PurePosixPath(path).parts[1:])
    if not exists(whole):
        return without
    if exists(without) and not same_content([whole, without]):
        raise InputError(f"{where}: the film lies beside the table and in the collection's folder, with other content")
    return whole


def _finding(cell: str, uncertain: str, where: str) -> float:
    value = binary(cell.removeprefix("-")) if cell else 0.0
    if value is None or (cell.startswith("-") and cell[1] != "1"):
        raise InputError(f"{where}: a finding is none of 1.0, 0.0, -1.0 or empty; correct it")
    return _UNCERTAIN[uncertain] if cell.startswith("-") else value
