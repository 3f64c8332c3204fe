"""File of a benchmark's runs, a JSON object a line, with which its command goes on; and the table of them."""

from __future__ import annotations

import argparse
import csv
import fcntl
import io
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sldd.errors import InputError
from sldd.io.atomic_file import check_output, write_file

_FOLDERS = ("data", "public")
"""Options whose folders may lie elsewhere tomorrow: their names are kept, and no machine's paths."""

Job = dict[str, Any]
"""Columns that tell runs apart, with their values."""
Definitions = tuple[str, Callable[[Any], Any]]
"""A column of jobs, and what each name in it stands for, as an arm's settings."""


def settings_of(options: argparse.Namespace, *others: str) -> dict[str, Any]:
    """What a run depends on: all options but those that choose ``others``, which runs there are, and where they go."""
    left_out = {"out", "table", "cache", "verbose", "seeds", *others}
    kept = {name: value for name, value in vars(options).items() if name not in left_out}
    kept |= {name: Path(kept[name]).name for name in _FOLDERS if kept.get(name) is not None}
    known: dict[str, Any] = plain(kept)
    return known


def plain(value: Any) -> Any:
    """The value as a file of JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def differences(there: Any, here: Any, name: str = "") -> Iterator[str]:
    """Words for each place where two plain values differ; in mappings, what is not named counts as None."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in {**here, **there}:
            yield from differences(there.get(key), here.get(key), f"{name}.{key}" if name else key)
    elif there != here:
        yield f"{name} {there!r} there, {here!r} here"


def read_runs(path: Path, columns: Collection[str]) -> list[dict[str, Any]]:
    """The runs of a file, of which a table is asked for.

    Args:
        columns: what the table reads of each run.

    Raises:
        InputError: there is no such file, it holds none, a line is none, or one that the table cannot read.
    """
    rows = _rows(path)
    for number, row in enumerate(rows, 1):
        if lacking := [name for name in columns if name not in row]:
            raise InputError(
                f"--out {path}, line {number}: a run without {', '.join(lacking)}, of another benchmark or of before "
                "these were kept; choose another file, or measure anew"
            )
    if not rows:
        raise InputError(f"--out {path}: {'no runs' if path.exists() else 'no such file'}; --table reads what was run")
    return rows


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else [], 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(
                f"{path}, line {number}: no run, perhaps one that was cut off; remove the line, and those of the same "
                "run before it, which then runs again"
            )
        rows.append(row)
    return rows


class RunsFile:
    """Runs of one command's settings; those of others are not gone on with, or the table would mix them.

    Args:
        path: the file; None keeps nothing.
        settings: of all its runs, plain values; None takes runs of any settings.
        added: names in ``settings`` that older files lack; their runs count as of today's values.
        defined: names that runs keep the ``definition`` of. Runs without any are of before it was kept, and count as of
            today's: those of the records under docs are.

    Attributes:
        rows: the runs, in the order in which they ended.

    Raises:
        InputError: the file cannot be written, has a line that is no run, or holds runs of other settings.
    """

    def __init__(
        self,
        path: Path | None,
        settings: dict[str, Any] | None = None,
        *,
        added: Collection[str] = (),
        defined: Definitions | None = None,
    ) -> None:
        self._path, self._settings, self._defined = path, settings, defined
        self.rows: list[dict[str, Any]] = []
        if path is None:
            return
        check_output(path)
        self.rows = _rows(path)
        if settings is None:
            return
        for row in self.rows:
            had = {name: settings[name] for name in added} | (row.get("settings") or {})
            self._refuse("other settings", had, settings)

    def _refuse(self, what: str, there: Any, here: Any) -> None:
        """Raise an InputError where ``what`` runs are of differs."""
        if found := [*differences(there, here)]:
            raise InputError(f"{self._path} holds runs of {what} ({', '.join(found[:3])}); choose another --out")

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that no row is of.

        Raises:
            InputError: there are rows of a time when a name in the jobs stood for something else.
        """
        if self._defined is not None:
            column, define = self._defined
            for name in dict.fromkeys(job[column] for job in jobs):
                for row in self.rows:
                    if row.get(column) == name and "definition" in row:
                        self._refuse(f"another {column} {name}", row["definition"], plain(define(name)))
        found: list[Job] = []
        for job in jobs:
            if job not in found and not any(job.items() <= row.items() for row in self.rows):
                found.append(job)
        return found

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add the rows of a run that has ended: the file has all of them or none.

        Raises:
            InputError: they cannot be written.
        """
        about = {} if self._settings is None else {"settings": self._settings}
        added = [row | about for row in rows]
        if self._defined is not None:
            column, define = self._defined
            added = [row | {"definition": plain(define(row[column]))} for row in added]
        self.rows += added
        if self._path is not None and added:
            with _alone_in(self._path.parent):
                there = self._path.read_bytes() if self._path.exists() else b""  # another command may have added some
                there += b"" if there.endswith(b"\n") or not there else b"\n"
                write_file(self._path, there + "".join(json.dumps(row) + "\n" for row in added).encode())

    def add_missing(self, jobs: Sequence[Job], work: Callable[[Job], Iterable[dict[str, Any]]]) -> None:
        """Run the jobs that no row is of, and say what each took.

        Args:
            work: gives the other columns of a job's rows (``core_seconds`` of the whole job, unless they have their
                own); no rows where there is nothing to keep.

        Raises:
            InputError: as of ``missing`` and ``append``.
        """
        for job in self.missing(jobs):
            begun = time.process_time()
            rows = list(work(job))
            spent = round(time.process_time() - begun, 1)
            self.append(job | {"core_seconds": spent} | row for row in rows)
            if rows:
                words = ", ".join(f"{name} {value}" for name, value in job.items())
                print(f"{words}: {spent:.0f} core seconds", flush=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Context in which no other command adds to a file of this folder. The folder is locked, and not the file, which is
    another one whenever something was added."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"--out: {folder} cannot be opened ({error.strerror})") from None
    try:
        with suppress(OSError):  # a file system without locks: hours of work are kept all the same
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_table(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Write a CSV file of lines that have the same columns; none where there are no lines.

    Raises:
        InputError: it cannot be written.
    """
    if not lines:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_file(path, text.getvalue().encode(), option="--table")
