"""``python -m sldd.package finetune``: the curve of ``sldd.pipeline.finetune`` in the terminal, as CSV or as JSON.

Columns of the CSV, a row a point: ``arm``, ``own_patients``, ``auc``, ``auc_low``, ``auc_high``, ``advantage`` over
training alone with its ends, ``test_patients`` and ``seeds``. The JSON has these as ``points``, and ``break_even`` with
its ends, null where no tested count came to it; where nothing was trained alone, it has no such keys.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sldd.data.cohort import Cohort
from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.package import Package
from sldd.package.cli.console import BAD, GOOD, accepted, check_outputs, progress
from sldd.package.rebuild.verify import verify
from sldd.pipeline.finetune import FinetuneCurve, FinetuneSettings, counts_of, finetune
from sldd.pipeline.open_cohort import open_cohort


def finetune_command(options: argparse.Namespace, console: Console) -> int:
    """``finetune PACKAGE COHORT``"""
    if options.out is not None and options.out.suffix not in (".csv", ".json"):
        raise InputError(f"--out {options.out}: name a .csv or a .json file")
    check_outputs({"--out": options.out}, options.cohort, options.package, options.key, options.start)
    settings = FinetuneSettings(
        counts=tuple(options.counts),
        arms=tuple(dict.fromkeys(options.arms)),
        seeds=options.seeds,
        steps=options.steps,
        rate=options.rate,
        batch_size=options.batch,
        test=options.test,
    )
    counts_of(settings, max(options.counts, default=0) + 1)
    verdict = verify(options.package, start=options.start, key=options.key)
    if not accepted(verdict, console) or verdict.network is None:
        return BAD
    cohort = _opened(options.cohort, verdict.package)
    bar = partial(progress, of="trainings")
    curve = finetune(verdict.package, verdict.network, cohort, settings, start=options.start, bar=bar)
    console.print(as_table(curve), soft_wrap=False)
    for words in in_words(curve):
        console.print(words)
    if options.out is not None:
        write_file(options.out, as_csv(curve) if options.out.suffix == ".csv" else as_json(curve))
        console.print(f"curve: {options.out}")
    return GOOD


def _opened(where: Path, package: Package) -> Cohort:
    """The cohort, its films read as the package's maker read theirs."""
    colours = "gray" if package.channels == 1 else "rgb"
    settings: dict[str, Any] = {"channels": colours, "film_size": package.film_size, "slice": package.slice}
    return open_cohort(where, **{name: value for name, value in settings.items() if value is not None})


def as_table(curve: FinetuneCurve) -> Table:
    """The curve on a terminal."""
    table = Table(f"own {curve.whose}s", "", f"{curve.score} (95 %)", "over training alone", box=None, pad_edge=False)
    for point in curve.points:
        more = "" if point.advantage is None else str(point.advantage)
        table.add_row(str(point.count), point.arm, str(point.auc), more)
    return table


def in_words(curve: FinetuneCurve) -> Iterator[str]:
    """Whom it was tested on, and the break-even count."""
    yield f"{curve.tested} test {curve.whose}s, {curve.own} others, {curve.seeds} seeds"
    if not curve.trained_alone:
        return

    def count(value: float | None) -> str:
        return f"more than {curve.own}" if value is None else f"{value:.0f}"

    worth, low, high = count(curve.break_even), count(curve.break_even_low), count(curve.break_even_high)
    yield f"break-even: the package as received is worth {worth} own {curve.whose}s ({low} to {high})"


def as_csv(curve: FinetuneCurve) -> bytes:
    """The points, a row each."""
    rows = [*_rows(curve)]
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def as_json(curve: FinetuneCurve) -> bytes:
    """The points, and the break-even count where there is one."""
    tree: dict[str, Any] = {"points": [*_rows(curve)]}
    if curve.trained_alone:  # null stands for more than all own patients
        tree |= {name: getattr(curve, name) for name in ("break_even", "break_even_low", "break_even_high")}
    return json.dumps(tree, indent=1).encode()


def _rows(curve: FinetuneCurve) -> Iterator[dict[str, Any]]:
    for point in curve.points:
        more = point.advantage
        yield {
            "arm": point.arm,
            "own_patients": point.count,
            "auc": point.auc.value,
            "auc_low": point.auc.low,
            "auc_high": point.auc.high,
            "advantage": None if more is None else more.value,
            "advantage_low": None if more is None else more.low,
            "advantage_high": None if more is None else more.high,
            "test_patients": curve.tested,
            "seeds": curve.seeds,
        }
