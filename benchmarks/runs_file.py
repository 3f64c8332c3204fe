"""File of a benchmark's runs, a JSON object a line, with which its command goes on; and the table of them."""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sldd.errors import InputError

_FOLDERS = ("data", "public")
"""Options whose folders may lie elsewhere tomorrow: their names are kept, and no machine's paths."""


def settings_of(options: argparse.Namespace, *others: str) -> dict[str, Any]:
    """What a run depends on: all options but those that choose ``others``, which runs there are, and where they go."""
    left_out = {"out", "table", "cache", "verbose", "seeds", *others}
    kept = {name: value for name, value in vars(options).items() if name not in left_out}
    kept |= {name: Path(kept[name]).name for name in _FOLDERS if kept.get(name) is not None}
    known: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return known


class RunsFile:
    """Runs of one command's settings; those of others are not gone on with, or the table would mix them.

    Args:
        path: the file; None keeps nothing.
        settings: of all its runs, plain values; None reads whatever is there.

    Attributes:
        rows: the runs, in the order in which they ended.

    Raises:
        InputError: the file holds runs of other settings.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any] | None = None) -> None:
        self._path, self._settings = path, settings
        there = path.read_text().splitlines() if path is not None and path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in there]
        if settings is None:
            return
        for row in self.rows:
            had = row.get("settings", {})
            names = [name for name in {**settings, **had} if settings.get(name) != had.get(name)]
            if names:
                differ = ", ".join(f"{name} {had.get(name)!r} there, {settings.get(name)!r} here" for name in names[:3])
                raise InputError(f"{path} holds runs of other settings ({differ}); choose another --out")

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add runs that have ended."""
        added = [row | {"settings": self._settings} for row in rows]
        self.rows += added
        if self._path is not None:
            with self._path.open("a") as file:
                file.write("".join(json.dumps(row) + "\n" for row in added))

    def add_missing(
        self, jobs: Iterable[dict[str, Any]], work: Callable[[dict[str, Any]], Iterable[dict[str, Any]]]
    ) -> None:
        """Run the jobs that no row is of, and say what each took.

        Args:
            jobs: columns that tell runs apart, with their values.
            work: gives the other columns of a job's rows (``core_seconds`` of the whole job, unless they have their
                own); no rows where there is nothing to keep.
        """
        for job in jobs:
            if any(job.items() <= row.items() for row in self.rows):
                continue
            begun = time.process_time()
            rows = list(work(job))
            spent = round(time.process_time() - begun, 1)
            self.append(job | {"core_seconds": spent} | row for row in rows)
            if rows:
                words = ", ".join(f"{name} {value}" for name, value in job.items())
                print(f"{words}: {spent:.0f} core seconds", flush=True)


def write_table(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Write a CSV file of lines that have the same columns; none where there are no lines."""
    if not lines:
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
