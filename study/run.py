"""Run a study, or go on with one.

    python -m study.run                                    the demo on phantom patients
    python -m study.run lungs --dry-run                    what a preset would cost
    python -m study.run my.yaml search.trials=12 --out /data/studies
    python -m study.run cohort data.root=FOLDER name=ours grid.backbone=[resnet18,vgg16]
    python -m study.run lungs name=rotated confirm.folds=5 grid.images=search
    python -m study.run chest-distill-small data.root=DIR  films with several findings
    python -m study.run chest-transfer data.root=DIR sources.nih.root=DIR
    python -m study.run table5-small                       an experiment of the papers, on phantom patients
    python -m study.run lungs budget.price=1.01 --dry-run  in money, at that for an hour of a machine like this
    python -m study.run lungs budget.gpu_hours=20          ends when they are used up; a larger budget goes on
    python -m study.run lungs search.trials=20 search.stop=median

The same command again resumes. More trials, repeats or grid points than before run only what is new.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.dashboard import write_dashboard
from analysis.records.records import write_records
from ledger.ledger import Ledger
from ledger.storage import Folder, StorageError, no_room, open_folder, reachable
from sldd.data.summary import summary
from sldd.errors import InputError
from study.cluster.broadcast import share
from study.cluster.nodes import check_gpus, check_nodes
from study.cluster.ray_cluster import connect, find_cluster, memory_per_trial
from study.config.checks import check_cohort
from study.config.loader import load
from study.config.paths import weights_files, with_absolute_paths
from study.config.presets import presets
from study.config.schema import StudyConfig
from study.engine import make_searches, run_trials
from study.grid.axes import cells
from study.grid.chains import check_chains, with_stages
from study.grid.protocol import divide
from study.planning.budget import Budget
from study.planning.cohorts import StudyPatients, announce_films, announce_parts, open_patients
from study.planning.header import describe
from study.planning.plan import PlannedCell, plan_cells
from study.planning.resume import check_same_study
from study.planning.source_cohorts import contexts
from study.report.dry_run import print_plan, print_refused
from study.report.summary_table import end_table, spared, without_effect
from study.search.tune_searcher import Search
from study.trial.context import trial_context
from study.trial.early_stopping import stopped_early


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 after failed trials, 2 for bad input, 130 when interrupted."""
    options = _options(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=160)  # a log file has no 80 columns
    try:
        config = load(options.study, options.settings)
        return _run(config, options, console)
    except InputError as error:
        print(f"study.run: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if not no_room(error):
            raise
        print(f"study.run: no room left in {options.out}; make some, and the same command goes on", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("study.run: interrupted; the same command goes on from the last checkpoints", file=sys.stderr)
        return 130


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="PRESET | FILE.yaml | KEY=VALUE",
        help=f"a preset ({', '.join(presets())}; demo unless given) or a study file, then any settings",
    )
    parser.add_argument("--dry-run", action="store_true", help="print cells, trials, steps and time, and stop")
    parser.add_argument(
        "--out", default="results", metavar="DIR", help="a folder or an object store, s3://...; default: results"
    )
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        help="a Ray cluster, or local to start one here; default: RAY_ADDRESS, else the one that runs on this machine "
        "(by ray up or ray start), else local",
    )
    options = parser.parse_intermixed_args(arguments)
    names = [word for word in options.words if "=" not in word]
    if len(names) > 1:
        parser.error(f"one preset or file at a time, got {', '.join(names)}")
    options.study = names[0] if names else "demo"
    options.settings = [word for word in options.words if "=" in word]
    return options


def _run(config: StudyConfig, options: argparse.Namespace, console: Console) -> int:
    config = with_absolute_paths(config)
    asked = cells(config.grid, config.confirm.folds, config.task)
    check_chains(asked, config.sources)
    grid = with_stages(asked)
    address = find_cluster(options.address)
    ledger = Ledger(_folder(options.out) / config.name)
    before = ledger.header()
    patients = open_patients(config, grid)
    _print(console, announce_films(config, patients))  # what was left out may be why the next line refuses them
    if options.dry_run:
        _print(console, (f"{config.name}: {line}" for line in summary(patients.cohort)))
    check_cohort(config, patients.cohort)
    if before is not None:
        check_same_study(before, config, patients, ledger.folder)
    split = divide(patients.cohort, config.data.split, config.protocol, config.confirm.folds, None)
    grounds = patients.grounds(config, grid, split)
    _print(console, [announce_parts(config, patients.cohort, split, grounds[None].batches)])

    begun = ledger.begun()  # these have shown what a step takes
    timed = {cell for cell in grid if options.dry_run or cell.name not in begun}
    memory = memory_per_trial(config.resources, address)
    if timed:
        _print(console, ["measuring a step of each network on this machine; large ones take minutes on a CPU"])
    plan = plan_cells(grid, config, grounds, timed=timed, memory=memory, missing=patients.missing)
    runnable = any(entry.refused is None for entry in plan)
    if options.dry_run:
        print_plan(console, config, plan, grounds, ledger.folder)
        return 0 if runnable else 2
    if not runnable:
        raise InputError(f"every cell is refused; {plan[0].cell.name}: {plan[0].refused}")
    print_refused(console, plan)
    header = describe(config, patients.cohort, split, plan, options.words, before, patients.collections)
    ledger.hold(say=lambda words: _print(console, [words]))
    try:
        ended = _run_trials(config, ledger, header, plan, patients, address, console)
    finally:
        ledger.close()
    return _conclude(config, ledger, plan, ended, console)


@dataclass(frozen=True)
class _Ended:
    """How the trials of a command came to an end."""

    searches: list[Search]
    signal: int
    """That interrupted them, or 0."""
    used_up: str | None
    """The budget that was, in words."""
    taken_over: bool
    """By another driver, which goes on with the study."""


def _run_trials(
    config: StudyConfig,
    ledger: Ledger,
    header: dict[str, Any],
    plan: list[PlannedCell],
    patients: StudyPatients,
    address: str | None,
    console: Console,
) -> _Ended:
    """Start Ray or join it, and run what the ledger, held by this process, does not have yet."""
    with connect(address, config.resources) as (where, slots):
        _print(console, [where])
        if slots.gpus:
            check_gpus()
        shared = None
        if address is not None:
            _print(console, check_nodes(ledger.folder))
            cohorts = [patients.cohort, *(each.cohort for each in patients.collections.values())]
            shared = share(cohorts, weights_files(config))
        ledger.start(header)
        pseudonyms = ledger.pseudonyms(patients.patient_ids)
        others = contexts(patients.collections, ledger.pseudonyms)
        context = trial_context(config, patients.cohort, pseudonyms, ledger.stop_path, shared, others)
        runnable = [entry for entry in plan if entry.refused is None]
        searches = make_searches(config, ledger, runnable)
        budget = Budget(config.budget, ledger, slots.gpus)
        signal = run_trials(config, ledger, runnable, searches, slots, console, context, budget)
        return _Ended(searches, signal, budget.used_up, ledger.lost)


def _conclude(config: StudyConfig, ledger: Ledger, plan: list[PlannedCell], ended: _Ended, console: Console) -> int:
    """Write the records and the page, and say what became of the study; returns the exit status."""
    if ended.taken_over:
        print("study.run: another driver took this one for dead and goes on with the study", file=sys.stderr)
        return 1
    write_records(ledger.folder)
    page = write_dashboard(ledger.folder)
    if not ended.signal:
        console.print(end_table(plan, ledger, note=_note(config, ended.searches, ledger)))
    _print(console, [f"page: {page}"])
    if ended.signal:
        _print(console, ["interrupted; the same command goes on from the checkpoints"])
        return 128 + ended.signal
    if ended.used_up and not all(search.finished for search in ended.searches):
        _print(console, [ended.used_up])
    failed = [trial for group in ledger.trials.values() for trial in group if trial.status == "failed"]
    for trial in failed[:5]:
        print(f"failed: {trial.config['trial']}: {(trial.result or {}).get('error')}", file=sys.stderr)
    return 1 if failed else 0


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _folder(out: str) -> Folder:
    try:
        folder = open_folder(out)
        reachable(folder)
    except StorageError as error:
        raise InputError(f"--out {error}") from None
    if isinstance(folder, Path):  # said in a dry run too, and not in a queue a day later
        there = next(path for path in (folder, *folder.parents) if os.access(path, os.F_OK))
        if not there.is_dir() or not os.access(there, os.W_OK):
            reason = "cannot be written to" if there.is_dir() else "is a file"
            raise InputError(f"--out {out}: {there} {reason}; name another folder")
    return folder


def _note(config: StudyConfig, searches: list[Search], ledger: Ledger) -> str | None:
    notes = [spared(searches), stopped_early(ledger), without_effect(ledger)]
    if config.protocol == "paper":
        notes.append("the papers' protocol: states were chosen on the test patients, at a threshold of 0.4")
    return "\n".join(filter(None, notes)) or None


if __name__ == "__main__":
    warnings.simplefilter("ignore", FutureWarning)  # of libraries; nothing that a user of this command can act on
    sys.exit(main())
