"""Read-only access to a study's trials: configuration and result of each.

    trials/<cell>/<i>/config.json   written before the trial starts
                      result.json   last

Workers write while this reads, so a file that is missing, half written or damaged is an ordinary case: a result that
does not parse counts as not there yet, and a trial whose configuration does not parse is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from ledger.storage import Folder, read_many, read_whole

_FILES = re.compile(r"[^/]+/[0-9]+/(config|result)\.json")
MOVED = re.compile(r"([0-9]+)-[0-9a-f]+")
"""Name of a trial's folder under ``superseded``: its index, and what tells it from others of that index."""
ASIDE = re.compile(rf"[^/]+/{MOVED.pattern}/(config|result)\.json")


class TrialFiles(NamedTuple):
    """One trial."""

    cell: str
    number: int
    config: dict[str, Any]
    result: dict[str, Any] | None
    text: bytes
    """That of the result; empty where there is none."""


def read_trials(study: Folder, *, superseded: bool = False) -> Iterator[TrialFiles]:
    """All trials of the study in a folder, one after another: cells by name, trials of a cell in no order; or those
    that a longer search has overtaken."""
    files = read_many(study / "superseded", ASIDE) if superseded else read_many(study / "trials", _FILES)
    for trial, group in groupby(files, key=lambda file: file[0].rpartition("/")[0]):
        texts = {path.rpartition("/")[2]: text for path, text in group}
        config = parsed(texts.get("config.json", b""))
        if config is not None:
            cell, number = trial.split("/")
            text = texts.get("result.json", b"")
            yield TrialFiles(cell, int(number.partition("-")[0]), config, as_result(parsed(text)), text)


LANDSCAPE = "landscape.json"
"""Of a study: what its shared model expects over the rates of each cell."""


def read_json(path: Folder) -> dict[str, Any] | None:
    """A JSON object; None where the file is missing or damaged.

    Raises:
        OSError: it cannot be read just now, which says nothing of what is in it.
    """
    try:
        return parsed(read_whole(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def read_result(trial: Folder) -> dict[str, Any] | None:
    """Result of the trial in a folder; None while there is none."""
    return as_result(read_json(trial / "result.json"))


def as_result(content: dict[str, Any] | None) -> dict[str, Any] | None:
    """A result has a status; anything else is none."""
    return content if content is not None and isinstance(content.get("status"), str) else None


def parsed(text: bytes) -> dict[str, Any] | None:
    """A JSON object, or None."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
