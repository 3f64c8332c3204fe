"""How much a receiver's own patients add to another hospital's package, where films look alike and where they do not.

    python -m benchmarks.sharing.receiver --out receiver.jsonl                       # phantom patients
    python -m benchmarks.sharing.receiver --data DIR --out lungs-receiver.jsonl      # of a cohort folder
    python -m benchmarks.sharing.receiver --out receiver.jsonl --table receiver.csv  # the table of what was run

One cohort is divided by patients: a share is tested, the others go to a maker, who distils them, and to a receiver,
who trains on k of its own, alone and from the package's network (``sldd.package finetune``). The receiver's films, and
those of all who are tested, are

    alike      as the maker's
    darker     of a gamma of 1.4
    noisier    with white noise of a deviation of 0.04
    blurred    by a Gaussian of 0.006 of the shorter side

Rows of --out are packages, one for each seed, with their curves; one that is there already is not made again, and runs
of other settings are not gone on with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import sldd
from benchmarks.measure import one_thread
from benchmarks.runs_file import RunsFile, settings_of, write_table
from benchmarks.sharing.divide import Device, HospitalSource, divide, labels_of
from benchmarks.sharing.options import add_distillation, add_patients, patch_settings, source_of
from sldd.data.cohort import default_cache, prepare
from sldd.errors import InputError
from sldd.io.film import Source
from sldd.metrics.intervals import Estimate
from sldd.package.rebuild.rebuild import rebuild
from sldd.pipeline.finetune import ALONE, PACKAGE, FinetuneCurve, FinetuneSettings, finetune

FILMS = {
    "alike": Device(),
    "darker": Device(gamma=1.4),
    "noisier": Device(noise=0.04),
    "blurred": Device(blur=0.006),
}


def curve(source: Source, films: str, seed: int, options: argparse.Namespace) -> FinetuneCurve:
    """A package of the maker, and what the receiver's patients add to it."""
    division = divide(labels_of(source), 2, "even", seed)
    cache = default_cache() if options.cache is None else options.cache
    parts = {"train": division.train[0], "validation": division.validation[0], "test": division.test}  # not scored
    maker = {patient: (part, Device()) for part, patients in parts.items() for patient in patients}
    parts = {"train": division.train[1] + division.validation[1], "test": division.test}
    receiver = {patient: (part, FILMS[films]) for part, patients in parts.items() for patient in patients}
    package = sldd.distill(
        options.backbone,
        prepare(HospitalSource(source, maker), cache),
        images=options.images,
        start=options.start,
        outer_lr=options.outer_lr,
        distill=sldd.DistillSettings(inner_weights=options.inner_weights),
        patches=patch_settings(options),
        outer=sldd.OuterSettings(steps=options.steps, batch_size=options.batch, evaluations=3, statistics_batches=16),
        seed=seed,
        show_progress=False,
    ).package
    settings = FinetuneSettings(tuple(options.counts), steps=options.train_steps, seeds=options.draws)
    return finetune(package, rebuild(package), prepare(HospitalSource(source, receiver), cache), settings)


def _columns(found: FinetuneCurve) -> dict[str, Any]:
    columns = asdict(found)
    return columns | {"break_even": [columns.pop(f"break_even{end}") for end in ("_low", "", "_high")]}


def table(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line for each package: its AUC as received, training alone, what the package adds to that, and break-even."""
    for row in rows:
        points = {(point["arm"], point["count"]): point for point in row["points"]}
        counts = sorted({count for arm, count in points if arm == ALONE})
        line = {"films": row["films"], "seed": row["seed"], "received": _words(points[PACKAGE, 0]["auc"])}
        for count in counts:
            line[f"alone {count}"] = _words(points[ALONE, count]["auc"])
            line[f"package adds {count}"] = _words(points[PACKAGE, count]["advantage"])
        low, middle, high = row["break_even"]
        shown = ["-" if value is None else f"{value:.0f}" for value in (middle, low, high)]
        yield line | {"break-even": "{} ({} to {})".format(*shown)}


def _words(found: dict[str, float]) -> str:
    return str(Estimate(**found))


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.sharing.receiver``; 2 for bad input."""
    options = _options(arguments)
    one_thread()
    try:
        if options.table is not None:
            rows = RunsFile(options.out).rows
        else:
            runs = RunsFile(options.out, settings_of(options, "films"))
            rows, source = runs.rows, source_of(options, options.data)
            jobs = [{"films": films, "seed": seed} for seed, films in product(range(options.seeds), options.films)]
            runs.add_missing(jobs, lambda job: [_columns(curve(source, **job, options=options))])
    except InputError as error:
        print(f"benchmarks.sharing.receiver: {error}", file=sys.stderr)
        return 2
    lines = [*table(rows)]
    for line in lines:
        print("  ".join(f"{name} {value}" for name, value in line.items()))
    if options.table is not None:
        write_table(options.table, lines)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sharing.receiver",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUNS.jsonl")
    parser.add_argument("--table", type=Path, metavar="TABLE.csv", help="write the table; run nothing")
    add_patients(parser, patients=240)
    add_distillation(parser, steps=300)
    parser.add_argument("--films", nargs="+", choices=list(FILMS), default=list(FILMS))
    parser.add_argument("--seeds", type=int, default=3, help="packages, each of another division and start")
    parser.add_argument("--draws", type=int, default=3, help="of the receiver's patients, for each package")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 5, 10, 20, 40])
    parser.add_argument("--train-steps", type=int, default=150, help="steps of every training")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
