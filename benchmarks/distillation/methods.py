"""Every method on MNIST in equal core seconds: digits told right from the known start and from fresh ones.

    python -m benchmarks.distillation.methods --backbone convnet_w32 --out runs.jsonl  # all, 1 and 10 images a class
    python -m benchmarks.distillation.methods --methods dm dc --images 1 --seeds 1 --seconds 60
    python -m benchmarks.distillation.methods --out runs.jsonl --table  # of what is there; runs nothing

MNIST's 10,000 test digits (idx files, named by --data), split by order: 7,500 to learn from, 500 that choose the state,
and 2,000 to test, which are looked at once. Published figures are of 60,000 training digits.

A run is as many outer steps as fit into its core seconds, one thread; the outer rate falls to zero by then. Experts,
core sets and batches count, scoring does not. A receiver takes one inner step on images whose rates are learned, and 30
on those of methods that learn no rates, which are to be good for any number. A command that was interrupted goes on
with --out, and several may run at once with one file, each with methods of its own. What diverged is kept and counted.

Beside its 300 core seconds a run has five fresh starts to train: of convnet_w32 a minute at one image a class and ten
at ten, of convnet eight minutes and eighty. So all methods take some 16 core hours, and of convnet 75 (reckoned from a
start or two of each, timed on a busy core).
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Any

from benchmarks.distillation.digit_data import CLASSES, DigitData, Parts
from benchmarks.distillation.digits import read_digits
from benchmarks.distillation.method_run import Budget, Run
from benchmarks.measure import one_thread
from benchmarks.runs_file import Job, RunsFile, read_runs, settings_of
from sldd.errors import InputError
from study.config.cells import cells
from study.config.loader import load, with_effect
from study.config.methods import METHODS
from study.config.schema import StudyConfig
from study.grid.axes import Cell
from study.grid.spec import TrialSpec

DISTILLING = [name for name, method in METHODS.items() if hasattr(method, "learned")]
RECEIVER_EPOCHS = 30
"""Inner steps of methods that learn no rates (docs/methods.md); others take one, and learn how long it is."""
_SETTABLE = ("distill.", "match.", "grid.label_init=")
"""Settings that do something here and have no option of their own."""


def epochs_of(method: str) -> int:
    """Inner steps that a method's images are made for."""
    return RECEIVER_EPOCHS if METHODS[method].ranges["inner_lr"] == "receiver_lr" else 1


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """Runs that are asked for, the short ones first."""
    budgets: list[float | None] = [None] if options.steps is not None else sorted(options.seconds)
    return [
        {"method": method, "each": each, "seed": seed, "epochs": options.epochs or epochs_of(method), "seconds": budget}
        for budget, each, seed, method in product(budgets, options.images, range(options.seeds), options.methods)
    ]


def settings_by_method(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Those settings of --set that do something, by method and key.

    Raises:
        InputError: one cannot be set here, is wrong, or does nothing for all methods.
    """
    for setting in options.set:
        if not setting.startswith(_SETTABLE):
            raise InputError(f"--set {setting}: takes KEY=VALUE, of distill.*, match.* or grid.label_init")
    kept = {}
    for method in options.methods:
        own = _own_settings(options, method, 1, 1)
        kept[method] = with_effect("demo", [*own, *options.set], asked=own)[len(own) :]
    for setting in options.set:
        if not any(setting in settings for settings in kept.values()):
            raise InputError(f"--set {setting}: does nothing for {', '.join(kept)}; leave it out")
    return {method: dict(setting.split("=", 1) for setting in settings) for method, settings in kept.items()}


def _own_settings(options: argparse.Namespace, method: str, each: int, epochs: int) -> list[str]:
    """Settings of a study that follow from the command's own options; ``each`` is images a class."""
    grid = {"backbone": options.backbone, "images": each * CLASSES, "method": method, "distill_epochs": epochs}
    fixed = ["task=classes", "data.source=classes", "resources.feature_cache=0"]  # no run has what another one paid for
    return [*fixed, *(f"grid.{name}={value}" for name, value in grid.items())]


def configured(
    method: str, each: int, settings: dict[str, str], data: DigitData, options: argparse.Namespace
) -> tuple[Cell, StudyConfig]:
    """A method's cell at so many images a class, and its configuration with these settings.

    Raises:
        InputError: the method cannot do what is asked.
    """
    epochs = options.epochs or epochs_of(method)
    config = load("demo", [*_own_settings(options, method, each, epochs), *map("=".join, settings.items())])
    found = cells(config.grid, task="classes")
    if len(found) > 1:
        raise InputError("--set grid.label_init: a run has one; choose it")
    refusal = data.batch_refusal(options.batch, "--batch") or METHODS[method].refusal(found[0], config, data)
    if refusal is not None:
        raise InputError(refusal)
    return found[0], config


def completed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs of --out, once those that it lacked are there. What can be refused is, before the first of them.

    Raises:
        InputError: digits are missing, a method cannot do what is asked, or as of ``RunsFile``.
    """
    digits = read_digits(options.data)
    parts, chosen = Parts.of(digits), settings_by_method(options)
    known = {
        (method, each): configured(method, each, chosen[method], parts.train, options)
        for method, each in product(options.methods, options.images)
    }

    def measured(job: Job) -> Iterator[dict[str, Any]]:
        cell, config = known[job["method"], job["each"]]
        low, high = getattr(config.search, METHODS[cell.method].ranges["inner_lr"])
        inner_lr = math.sqrt(low * high) if options.inner_lr is None else options.inner_lr
        spec = TrialSpec(cell, "search", job["seed"], outer_lr=options.outer_lr, inner_lr=inner_lr, task="classes")
        run = Run(spec, config, options.batch, options.starts, options.fresh_steps, options.verbose)
        yield run.measure(parts, Budget(job["seconds"], options.steps))

    common = settings_of(options, "data", "methods", "images", "epochs", "seconds", "set")
    common["digits"] = digits.fingerprint()[:16]
    file = RunsFile(options.out, common, defined=("method", chosen.__getitem__))
    file.add_missing(jobs_of(options), measured)
    return file.rows if options.out is None else RunsFile(options.out).rows  # with those of other commands since


_COLUMNS = ("method", "each", "epochs", "seconds", "core_seconds", "steps", "known", "fresh", "error")
"""What the table reads of a run."""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each method, images a class, budget and inner steps; means over the seeds that did not
    diverge, and how many runs and fresh starts did."""
    order = {name: place for place, name in enumerate(METHODS)}

    def group(row: dict[str, Any]) -> tuple[float, ...]:
        return row["each"], row["seconds"] or 0.0, order.get(row["method"], -1), row["epochs"]

    names = ["method", "images a class", "inner steps", "core seconds", "outer steps", "known start", "fresh starts"]
    lines = [[*names, "diverged"], ["---"] * (len(names) + 1)]
    lines += [_cells(list(runs)) for _, runs in groupby(sorted(rows, key=group), group)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The table's row for the runs of a method that differ in their seeds."""
    scored = [run for run in runs if run["error"] is None]
    starts = [value for run in scored for value in run["fresh"]]  # None where one diverged
    fresh = [value for value in starts if value is not None]
    budget = runs[0]["seconds"]
    spent, steps = (statistics.mean(run[name] for run in runs) for name in ("core_seconds", "steps"))
    diverged = []
    if len(scored) < len(runs):
        diverged.append(f"{len(runs) - len(scored)} of {len(runs)} runs")
    if len(fresh) < len(starts):
        diverged.append(f"{len(starts) - len(fresh)} of {len(starts)} starts")
    return [
        runs[0]["method"],
        str(runs[0]["each"]),
        str(runs[0]["epochs"]),
        f"{spent:.0f}" if budget is None else f"{spent:.0f} of {budget:g}",
        f"{steps:,.0f}",
        f"{statistics.mean(run['known'] for run in scored):.3f}" if scored else "-",
        f"{statistics.mean(fresh):.3f} ({min(fresh):.3f} to {max(fresh):.3f})" if fresh else "-",
        ", ".join(diverged) or "-",
    ]


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.distillation.methods``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distillation.methods",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnist"), metavar="DIR")
    parser.add_argument("--methods", nargs="+", choices=DISTILLING, default=DISTILLING)
    parser.add_argument("--images", nargs="+", type=_count, default=[1, 10], help="images a class")
    parser.add_argument("--seeds", type=int, default=3)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", nargs="+", type=_seconds, default=[300.0], help="core seconds of a run (300)")
    budget.add_argument("--steps", type=_count, help="outer steps of a run instead, whatever they cost")
    parser.add_argument("--epochs", type=_count, help="inner steps of a receiver, for all methods")
    parser.add_argument("--starts", type=int, default=5, help="fresh starts")
    parser.add_argument("--fresh-steps", type=_count, default=1000)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--backbone", default="convnet")
    parser.add_argument("--outer-lr", type=float, default=0.03)
    parser.add_argument("--inner-lr", type=float, help="default: the middle of each method's own range")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of distill and match, for whom they are"
    )
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="keep each run; what is there is not run again")
    parser.add_argument("--table", action="store_true", help="print the table of --out, and run nothing")
    options = parser.parse_args(arguments)
    if options.table and options.out is None:
        parser.error("--table prints what --out has; give that too")
    one_thread()
    try:
        rows = read_runs(options.out, _COLUMNS) if options.table else completed(options)
    except InputError as error:
        print(f"benchmarks.distillation.methods: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    return 0


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give 1 or more")
    return value


def _seconds(text: str) -> float:
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: give a number above zero")
    return value


if __name__ == "__main__":
    sys.exit(main())
