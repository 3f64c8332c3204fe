"""Runs or resumes a study: checks, plan, trials, records and page."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.dashboard import write_dashboard
from analysis.records.records import write_records
from ledger.lease import EXPIRY
from ledger.ledger import Ledger
from ledger.storage import Folder, StorageError, open_folder, reachable
from ledger.trial_folder import now
from sldd.data.split import Split
from sldd.data.summary import summary
from sldd.errors import InputError
from study.cluster.broadcast import share
from study.cluster.nodes import check_gpus, check_nodes
from study.cluster.ray_cluster import connect, find_cluster, memory_per_trial
from study.config.cells import cells
from study.config.checks import check_cohort
from study.config.paths import weights_files, with_absolute_paths
from study.config.schema import StudyConfig
from study.config.tasks.base import TaskData
from study.engine.ray_run import run_trials
from study.engine.report.dry_run import print_plan, print_refused
from study.engine.report.summary_table import end_table, spared, without_effect
from study.engine.study_run import StudyRun
from study.export.live import check_tracker
from study.grid.axes import Cell
from study.grid.chains import check_chains, with_stages
from study.grid.protocol import make_split
from study.planning.cohorts import StudyPatients, announce_features, announce_films, announce_parts, open_patients
from study.planning.header import describe
from study.planning.network_traits import traits_of
from study.planning.plan import PlannedCell, plan_cells
from study.planning.resume import check_same_study, planned_before
from study.planning.source_cohorts import contexts
from study.search.prior import Observed, keep_prior, take_prior
from study.search.tune_searcher import Search
from study.trial.context import TrialContext
from study.trial.early_stopping import stopped_early
from study.trial.pseudonyms import check_pseudonyms, keep_key


def conduct(
    config: StudyConfig,
    console: Console,
    *,
    out: str,
    address: str | None = None,
    dry_run: bool = False,
    words: Sequence[str] = (),
) -> int:
    """Run a study, or go on with it; returns 0, 1 after failed trials, 2 where no cell can be run, or 128 and the
    signal that interrupted it.

    Args:
        out: the folder or object store that the study's folder is in, or is to be.
        address: of a Ray cluster, as of ``find_cluster``.
        dry_run: print cells, trials, steps and time, and stop.
        words: the command's, for the study's header.

    Raises:
        InputError: films, settings or the study's folder are not as they should be.
    """
    config = with_absolute_paths(config)
    address = find_cluster(address)
    study = _open(config, out, console, dry_run=dry_run)
    plan = _plan(study, memory_per_trial(config.resources, address), console, all_timed=dry_run)
    runnable = any(entry.refused is None for entry in plan)
    if dry_run:
        print_plan(console, config, plan, study.data_by_stage, study.ledger.folder, len(study.tested))
        return 0 if runnable else 2
    if not runnable:
        raise InputError(f"every cell is refused; {plan[0].cell.name}: {plan[0].refused}")
    print_refused(console, plan)
    header = _header(study, plan, words, console)
    ledger = study.ledger
    ledger.hold(say=lambda words: _print(console, [words]))
    try:
        if ledger.header() != study.before:  # checks and measurements took a while, and nobody held it
            raise InputError(f"{ledger.folder} was changed by another start meanwhile; run again")
        ended = _run_trials(study, header, plan, address, console)
        taken_over = ledger.lost
    finally:
        ledger.close()
    if taken_over:
        print(
            "study.run: another driver took this one for dead and goes on with the study, or the study's folder could "
            f"not be read for {EXPIRY:.0f} s; the same command goes on, or names the other",
            file=sys.stderr,
        )
        return 1
    return _conclude(ended, plan)


@dataclass(frozen=True)
class _OpenStudy:
    """A study whose configuration, folder and patients fit together."""

    config: StudyConfig
    ledger: Ledger
    before: dict[str, Any] | None
    """What ``study.yaml`` said so far; None where the study is new."""
    grid: list[Cell]
    patients: StudyPatients
    prior: list[Observed]
    split: Split
    tested: list[int]
    """Patients that confirm trials meet: all of them where folds rotate."""
    data_by_stage: Mapping[str | None, TaskData]


def _open(config: StudyConfig, out: str, console: Console, *, dry_run: bool) -> _OpenStudy:
    """Check what can be checked before networks are built; writes nothing but the cache of films."""
    check_tracker(config)
    asked = cells(config.grid, config.confirm.folds, config.task)
    check_chains(asked, config.sources)
    grid = with_stages(asked)
    ledger = Ledger(_folder(out, config.name, dry_run=dry_run))
    before = ledger.header()
    patients = open_patients(config, grid)
    _print(console, announce_films(config, patients))  # what was left out may be why the next line refuses them
    if dry_run:
        _print(console, (f"{config.name}: {line}" for line in summary(patients.cohort)))
    check_cohort(config, patients.cohort)
    if before is not None:
        check_same_study(before, config, patients, ledger.folder)
        check_pseudonyms(config, ledger, patients.cohort, patients.patient_ids)
    split = make_split(patients.cohort, config.data.split, config.protocol, config.confirm.folds, None)
    tested = list(range(patients.cohort.patients)) if config.confirm.folds else split.test
    prior = take_prior(config, patients.cohort.fingerprint, ledger.folder)
    data_by_stage = patients.data_by_stage(config, grid, split)
    _print(console, [announce_parts(config, data_by_stage[None]), *announce_features(config)])
    return _OpenStudy(config, ledger, before, grid, patients, prior, split, tested, data_by_stage)


def _plan(study: _OpenStudy, memory: int | None, console: Console, *, all_timed: bool) -> list[PlannedCell]:
    """Check every cell, and measure those that are new, or all of them."""
    known = planned_before(study.before, study.config, study.grid)
    timed = {cell for cell in study.grid if all_timed or cell not in known}
    if timed:
        _print(console, ["measuring a step of each network on this machine; large ones take minutes on a CPU"])
    missing = study.patients.missing
    return plan_cells(
        study.grid, study.config, study.data_by_stage, timed=timed, memory=memory, known=known, missing=missing
    )


def _header(study: _OpenStudy, plan: list[PlannedCell], words: Sequence[str], console: Console) -> dict[str, Any]:
    """What ``study.yaml`` is to say, networks' traits measured where it does not say them yet."""
    config, before, patients = study.config, study.before, study.patients
    known = (before or {}).get("networks") or ()
    networks = traits_of(plan, config, study.data_by_stage[None], known, lambda words: _print(console, [words]))
    return describe(config, patients.cohort, study.split, plan, list(words), before, patients.collections, networks)


@dataclass(frozen=True)
class _Ended:
    """How the trials of a start came to an end."""

    run: StudyRun
    signal: int
    """That interrupted them, or 0."""
    used_up: str | None
    """Which budget is, and how to go on, in a line; None where none is."""


def _run_trials(
    study: _OpenStudy, header: dict[str, Any], plan: list[PlannedCell], address: str | None, console: Console
) -> _Ended:
    """Start Ray or join it, and run what the ledger, held by this process, does not have yet."""
    config, ledger, patients = study.config, study.ledger, study.patients
    with connect(address, config.resources) as (where, slots):
        _print(console, [where])
        if slots.gpus:
            check_gpus()
        elif config.compute.cuda_graph:
            raise InputError("compute.cuda_graph: the trials have no GPU; set it to false")
        shared = None
        if address is not None:
            _print(console, check_nodes(ledger.folder))
            cohorts = [patients.cohort, *(each.cohort for each in patients.collections.values())]
            shared = share(cohorts, weights_files(config))
        ledger.start(header)
        keep_prior(study.prior, ledger.folder)
        keep_key(config, ledger, patients.cohort, patients.patient_ids)
        pseudonyms = ledger.pseudonyms(patients.patient_ids)
        others = contexts(patients.collections, ledger.pseudonyms)
        own = patients.cohort
        context = TrialContext(
            config, own.folder, own.fingerprint, pseudonyms, ledger.stop_path, shared=shared, collections=others
        )
        runnable = [entry for entry in plan if entry.refused is None]
        run = StudyRun(config, ledger, runnable, slots, context, console, study.prior)
        signal = run_trials(run)
        if not signal and not ledger.lost and all(search.finished for search in run.searches):
            ledger.finish(now())
        return _Ended(run, signal, run.budget.used_up)


def _conclude(ended: _Ended, plan: list[PlannedCell]) -> int:
    """Write the records and the page, print the outcome; returns the exit status."""
    config, ledger, console = ended.run.config, ended.run.ledger, ended.run.console
    write_records(ledger.folder)
    ended.run.write_landscapes()
    page = write_dashboard(ledger.folder)
    if not ended.signal:
        console.print(end_table(plan, ledger, note=_note(config, ended.run.searches, ledger)))
    _print(console, [f"page: {page}"])
    if ended.signal:
        _print(console, ["interrupted; the same command goes on from the checkpoints"])
        return 128 + ended.signal
    if ended.used_up and not all(search.finished for search in ended.run.searches):
        _print(console, [ended.used_up])
    failed = [trial for group in ledger.trials.values() for trial in group if trial.status == "failed"]
    for trial in failed[:5]:
        print(f"failed: {trial.name}: {(trial.result or {}).get('error')}", file=sys.stderr)
    return 1 if failed else 0


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _folder(out: str, name: str, *, dry_run: bool) -> Folder:
    """The study's folder, where it can be written: said in a dry run too, and not when all is measured."""
    try:
        folder = open_folder(out)
        reachable(folder)
    except StorageError as error:
        raise InputError(f"--out {error}") from None
    study = folder / name
    if isinstance(study, Path):
        there = next(path for path in (study, *study.parents) if os.access(path, os.F_OK))
        reason = None if os.access(there, os.W_OK) else "cannot be written to"
        if not there.is_dir():
            reason = "is a file"
        elif reason is None and not dry_run:
            try:
                tempfile.TemporaryFile(dir=there).close()  # some file systems refuse what they say they allow
            except OSError as error:
                reason = f"cannot be written to ({error.strerror or error})"
        if reason is not None:
            raise InputError(f"--out {out}: {there} {reason}; name another folder")
    return study


def _note(config: StudyConfig, searches: list[Search], ledger: Ledger) -> str | None:
    notes = [spared(searches, config.search), stopped_early(ledger), without_effect(ledger)]
    if config.protocol == "paper":
        notes.append("the papers' protocol: states were chosen on the test patients, at a threshold of 0.4")
    return "\n".join(filter(None, notes)) or None
