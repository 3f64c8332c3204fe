"""Metadata of trials for export: what is named here, trial by trial, and nothing else.

No patient is among it, not under a pseudonym either: other programs are given numbers of whole groups. Neither are
paths or machines, but for what the one line of an error may say. Whoever adds a fact decides that it may leave the
study's folder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, TypeAlias

import pandas as pd

from analysis.records.records import Study, records_of
from ledger.schema import AXES
from ledger.storage import read_whole
from ledger.trial_files import TrialFiles, read_json, read_result, read_trials
from sldd.errors import InputError

Value: TypeAlias = bool | int | float | str
Curve: TypeAlias = list[tuple[int, dict[str, float]]]
"""(outer step, values by the names in ``HISTORY``), in order."""

SETTING = [*AXES, "parameters", "protocol"]
"""What a cell is, by the columns of ``records.csv``."""
SCORES = [
    "val_hm",
    "val_auc",
    "val_patch_accuracy",
    "test_sensitivity",
    "test_specificity",
    "test_hm",
    "test_hm_at_0.4",
    "test_auc",
    "test_patch_accuracy",
    "undecided_patients",
    "val_ap",
    "test_ap",
    "test_hamming_loss",
    "val_balanced_accuracy",
    "val_accuracy",
    "test_balanced_accuracy",
    "test_accuracy",
]
COSTS = [
    "outer_steps",
    "seconds",
    "peak_memory_mib",
    "memory_mib",
    "memory_star_kb",
    "shared_kb",
    "compression_rate",
]
HISTORY = {
    "loss": "loss",
    "val_hm": "validation/hm",
    "val_auc": "validation/auc",
    "val_patch_accuracy": "validation/patch_accuracy",
    "val_average_precision": "validation/average_precision",
    "val_hamming_loss": "validation/hamming_loss",
    "val_balanced_accuracy": "validation/balanced_accuracy",
    "val_accuracy": "validation/accuracy",
}
"""Entries of a result's history, and what they are called elsewhere."""


@dataclass(frozen=True, eq=False)
class TrialMetadata:
    """One trial.

    Attributes:
        trial: ``<cell>/<i>``.
        attempt: counts from 1; a failed trial is tried again under the same name.
        status: as in ``records.csv``.
        stopped: it ended early, because it did worse than its cell's earlier ones.
        waits: it is at a rung, from which it may go on.
        went_on: it has left a rung.
        setting: the columns ``SETTING`` that it has, and its seed.
        suggested: rates, threshold and options that it was to run with.
        scores: the columns ``SCORES`` that it has; ``chosen_delta``, the threshold at which they hold, the best one on
            validation patients unless it is fixed; for a search trial ``hm_at_suggested_delta``, the validation HM at
            the one that it was to try.
        costs: the columns ``COSTS`` that it has.
        history: of its result.
    """

    trial: str
    cell: str
    number: int
    attempt: int
    phase: str
    status: str
    stopped: bool
    waits: bool
    went_on: bool
    error: str | None
    setting: dict[str, Value]
    suggested: dict[str, Value | None]
    scores: dict[str, float]
    costs: dict[str, float]
    history: Curve


def read_cells(study: Study) -> Iterator[tuple[str, list[TrialMetadata]]]:
    """The trials of a study, cell by cell, each cell's in the order they were begun; cells without any are left out."""
    rows = study.records[study.records["status"] != "refused"].set_index("trial").to_dict("index")
    for cell, files in groupby(read_trials(study.folder), key=lambda trial: trial.cell):
        # What was begun after the records were read is left to the next time.
        known = [trial for trial in files if f"{cell}/{trial.number}" in rows]
        if known:
            known.sort(key=lambda trial: trial.number)
            yield cell, [_metadata(trial, rows[f"{cell}/{trial.number}"]) for trial in known]


def read_exported(study: Study) -> Iterator[tuple[str, list[TrialMetadata]]]:
    """As ``read_cells``; what waits at a rung still runs, until its cell's search is over and confirm trials begin."""
    for cell, trials in read_cells(study):
        searching = all(trial.phase == "search" for trial in trials)
        yield cell, [replace(trial, status="running") if searching and trial.waits else trial for trial in trials]


def read_trial(study: Study, name: str) -> TrialMetadata | None:
    """The trial ``<cell>/<i>`` as its files are now; None where it has none (any more)."""
    folder = study.trial_folder(name)
    config, cell = read_json(folder / "config.json"), name.rpartition("/")[0]
    if config is None:
        return None
    files = TrialFiles(cell, int(name.rpartition("/")[2]), config, read_result(folder), b"")
    (row,) = records_of([files]).to_dict("records")
    return _metadata(files, row)


def is_gone(study: Study, name: str) -> bool:
    """Whether the trial ``<cell>/<i>`` is no longer where trials are; False where that cannot be told just now."""
    try:
        read_whole(study.trial_folder(name) / "config.json")
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def when(study: Study, trial: TrialMetadata) -> tuple[datetime, datetime | None]:
    """When a trial began and ended, in local time, as its files' times tell; a copy has its own."""
    folder = study.trial_folder(trial.trial)
    try:
        ended = datetime.fromtimestamp((folder / "result.json").stat().st_mtime)
    except OSError:
        ended = None
    if trial.status == "running" or ended is None:
        try:
            return datetime.fromtimestamp((folder / "config.json").stat().st_mtime), None
        except OSError:
            return datetime.now(), None
    return ended - timedelta(seconds=trial.costs.get("seconds", 0.0)), ended


def identity(study: Study) -> str:
    """Identifier of a study among others of the same name: its cohort's fingerprint and when it was begun."""
    cohort = study.provenance.get("cohort")
    fingerprint = cohort.get("fingerprint") if isinstance(cohort, dict) else None
    return f"{str(fingerprint or '')[:16]} {study.provenance.get('started') or ''}".strip()


def check_same(study: Study, found: object, where: str) -> None:
    """Raise an InputError where ``found``, what was exported under this name before, is another study's identity."""
    if found != identity(study):
        raise InputError(f"{where} holds another study called {study.name}; export this one to another place")


def _metadata(files: TrialFiles, row: dict[Any, Any]) -> TrialMetadata:
    config, result = files.config, files.result or {}
    phase = str(config.get("phase"))
    options = config.get("options") if isinstance(config.get("options"), dict) else {}
    suggested = {name: _value(config.get(name)) for name in ("outer_lr", "inner_lr", "delta")}
    suggested = {name: value for name, value in suggested.items() if value is not None}
    suggested |= {str(name): _value(value) for name, value in (options or {}).items()}
    known = {name: _value(row[name]) for name in [*SETTING, "seed"]}
    scores = _numbers({name: row[name] for name in SCORES})
    scores |= _numbers({"chosen_delta": result.get("delta")})  # the row has the suggested one where none was chosen
    if result and phase == "search":
        at = _hm_at(result, suggested.get("delta"))
        scores |= {} if at is None else {"hm_at_suggested_delta": at}
    return TrialMetadata(
        trial=f"{files.cell}/{files.number}",
        cell=files.cell,
        number=files.number,
        attempt=_whole(result.get("attempt")) or _whole(config.get("attempt")) or 1,
        phase=phase,
        status=str(row["status"]),
        stopped=result.get("stopped") is True,
        error=None if pd.isna(row["error"]) else str(row["error"]),
        setting={name: value for name, value in known.items() if value is not None},
        suggested=suggested,
        scores=scores,
        costs=_numbers({name: row[name] for name in COSTS}),
        waits=result.get("ended") == "rung",
        went_on=bool(config.get("taken_up")),
        history=curve(result.get("history")),
    )


def curve(entries: Any) -> Curve:
    """A result's history, or a part of it."""
    return [
        (step, _numbers({title: entry.get(name) for name, title in HISTORY.items()}))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and (step := _whole(entry.get("step"))) is not None
    ]


def _hm_at(result: dict[str, Any], delta: Value | None) -> float | None:
    """Validation HM at a threshold, from the whole curve: ``hm[k]`` holds up to and including ``delta[k]``."""
    if not isinstance(delta, float):
        return None
    try:
        curve = result["validation"]["curve"]
        return float(next(hm for end, hm in zip(curve["delta"], curve["hm"], strict=True) if delta <= end))
    except (KeyError, TypeError, ValueError, StopIteration):
        return None


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    known = {name: _value(value) for name, value in values.items()}
    return {name: value for name, value in known.items() if isinstance(value, int | float)}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _value(value: Any) -> Value | None:
    """A plain value; None where it is missing, not finite or anything else."""
    if isinstance(value, bool | str):
        return value
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
