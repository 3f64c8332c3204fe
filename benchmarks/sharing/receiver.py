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
from statistics import fmean
from typing import Any

import sldd
from benchmarks.measure import one_thread
from benchmarks.runs_file import RunsFile, read_runs, settings_of, write_table
from benchmarks.sharing.divide import Device, HospitalSource, divide, labels_of
from benchmarks.sharing.options import add_distillation, add_patients, patch_settings, source_of
from sldd.data.cohort import Cohort, default_cache, prepare
from sldd.errors import InputError
from sldd.io.film import Source
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

    def cohort_of(parts: dict[str, list[int]], device: Device) -> Cohort:
        places = {patient: (part, device) for part, patients in parts.items() for patient in patients}
        return prepare(HospitalSource(source, places), default_cache() if options.cache is None else options.cache)

    maker = {"train": division.train[0], "validation": division.validation[0], "test": division.test}  # not scored
    receiver = {"train": division.train[1] + division.validation[1], "test": division.test}
    package = sldd.distill(
        options.backbone,
        cohort_of(maker, Device()),
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
    return finetune(package, rebuild(package), cohort_of(receiver, FILMS[films]), settings)


def _columns(found: FinetuneCurve) -> dict[str, Any]:
    """Columns of a run; the break-even count with its interval as one of them."""
    columns = asdict(found)
    ends = [columns.pop(f"break_even{end}") for end in ("_low", "", "_high")]
    return columns | {"break_even": ends}


_COLUMNS = ("films", "seed", "points", "break_even")
"""What the table reads of a run."""


def table(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line for each kind of films and count of the receiver's patients: AUC alone and from the package, and what the
    package adds, each as the mean of all packages with the lowest and the highest. In the first line of its films, that
    of no patients, each package's break-even count."""
    groups: dict[tuple[str, int], list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for row in rows:
        for point in row["points"]:
            groups.setdefault((row["films"], point["count"]), []).append((row, point))
    order = {films: place for place, films in enumerate(FILMS)}
    for films, count in sorted(groups, key=lambda key: (order[key[0]], key[1])):
        points = groups[films, count]
        line = {"films": films, "own patients": count, "packages": len({row["seed"] for row, _ in points})}
        for arm in (ALONE, PACKAGE):
            line[arm] = _spread([point["auc"] for _, point in points if point["arm"] == arm])
        line["package adds"] = _spread([point["advantage"] for _, point in points if point["advantage"] is not None])
        even = [row["break_even"][1] for row, point in points if point["arm"] == PACKAGE and not count]
        yield line | {"break-even": ", ".join("none" if value is None else f"{value:.0f}" for value in even)}


def _spread(found: Sequence[dict[str, float]]) -> str:
    """Mean, lowest and highest of estimates' values, in words; nothing where there are none."""
    values = [each["value"] for each in found]
    if not values:
        return ""
    mean, low, high = (round(value, 2) + 0.0 for value in (fmean(values), min(values), max(values)))  # no -0.00
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.sharing.receiver``; 2 for bad input."""
    options = _options(arguments)
    one_thread()
    try:
        lines = [*table(_completed(options) if options.table is None else read_runs(options.out, _COLUMNS))]
        if options.table is not None:
            write_table(options.table, lines)
    except InputError as error:
        print(f"benchmarks.sharing.receiver: {error}", file=sys.stderr)
        return 2
    for line in lines:
        print("  ".join(f"{name} {value}" for name, value in line.items()))
    return 0


def _completed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs of --out, once those that it lacked are there."""
    defined = ("films", lambda films: asdict(FILMS[films]))
    runs = RunsFile(options.out, settings_of(options, "films"), defined=defined)
    source = source_of(options, options.data)
    jobs = [{"films": films, "seed": seed} for seed, films in product(range(options.seeds), options.films)]
    runs.add_missing(jobs, lambda job: [_columns(curve(source, **job, options=options))])
    return runs.rows


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
