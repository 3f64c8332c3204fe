"""Metadata of trials for export: only what is named here leaves a study's folder, whatever the program it goes to.

Nothing is about a single patient, not under a pseudonym either: scores are those of whole groups. No path and no
machine is named, but for what the one line of an error may say. Whoever adds an entry here decides that it may leave
the study's folder.
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
"""(outer step, values by their names elsewhere, the values of ``HISTORY``), by ascending step."""

SETTING = [*AXES, "parameters", "protocol"]
"""Columns of ``records.csv`` that say what a trial's cell is."""
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
"""Names of values in a result's history, and what other programs call them."""


@dataclass(frozen=True, eq=False)
class TrialMetadata:
    """What may be told of one trial.

    Attributes:
        trial: ``<cell>/<i>``.
        cell: name of its cell.
        number: the ``i`` in its name.
        attempt: counts from 1; a failed trial is tried again under the same name.
        phase: ``search`` or ``confirm``.
        status: as in ``records.csv``.
        stopped: it ended early, because it did worse than its cell's earlier ones.
        waits: its result is that of a rung of successive halving, from which it may go on.
        went_on: it has gone on from a rung at least once, so that an earlier result of it may have been exported.
        error: the line of ``records.csv`` on why it failed or diverged, if any.
        setting: the columns ``SETTING`` that it has a value of, and its seed.
        suggested: rates, threshold and options that it was to run with.
        scores: the columns ``SCORES`` that it has a value of, and two more. ``chosen_delta`` is the threshold of these
            scores: the best one on validation patients, unless it is fixed. ``hm_at_suggested_delta``, of a search
            trial, is the validation HM at the threshold that it was to try.
        costs: the columns ``COSTS`` that it has a value of.
        history: the curves of its result.
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

    @property
    def last_step(self) -> int:
        """The last outer step of its history; -1 where it has none."""
        return self.history[-1][0] if self.history else -1


def read_cells(study: Study) -> Iterator[tuple[str, list[TrialMetadata]]]:
    """The trials of a study by cell, each cell's in the order in which they were begun; empty cells are left out."""
    rows = study.records[study.records["status"] != "refused"].set_index("trial").to_dict("index")
    for cell, files in groupby(read_trials(study.folder), key=lambda trial: trial.cell):
        # What was begun after the records were read is left to the next time.
        known = [trial for trial in files if f"{cell}/{trial.number}" in rows]
        if known:
            known.sort(key=lambda trial: trial.number)
            yield cell, [_metadata(trial, rows[f"{cell}/{trial.number}"]) for trial in known]


def read_exported(study: Study) -> Iterator[tuple[str, list[TrialMetadata]]]:
    """As ``read_cells``, with the status ``running`` for a trial that waits at a rung and may still go on from there.

    None does any more once the search of its cell is over, which the first confirm trial shows.
    """
    for cell, trials in read_cells(study):
        searching = all(trial.phase == "search" for trial in trials)
        yield cell, [replace(trial, status="running") if searching and trial.waits else trial for trial in trials]


def read_trial(study: Study, name: str) -> TrialMetadata | None:
    """The trial ``<cell>/<i>`` as its files are now; None where it has none (any more)."""
    folder = study.trial_folder(name)
    config = read_json(folder / "config.json")
    if config is None:
        return None
    cell, _, number = name.rpartition("/")
    files = TrialFiles(cell, int(number), config, read_result(folder), b"")
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
    """When a trial began and when it ended (None: it runs), in local time.

    The modification times of its files tell, which in a copy of a study may be those of the copy.
    """
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
    """Metadata from a trial's files and its row of ``records.csv``."""
    config, result = files.config, files.result or {}
    phase = str(config.get("phase"))
    suggested = _suggested(config)
    setting = {name: _value(row[name]) for name in [*SETTING, "seed"]}
    scores = _numbers({name: row[name] for name in SCORES})
    scores |= _numbers({"chosen_delta": result.get("delta")})  # the row has the suggested one where none was chosen
    if result and phase == "search":
        hm = _hm_at(result, suggested.get("delta"))
        if hm is not None:
            scores["hm_at_suggested_delta"] = hm
    return TrialMetadata(
        trial=f"{files.cell}/{files.number}",
        cell=files.cell,
        number=files.number,
        attempt=_whole(result.get("attempt")) or _whole(config.get("attempt")) or 1,
        phase=phase,
        status=str(row["status"]),
        stopped=result.get("stopped") is True,
        error=None if pd.isna(row["error"]) else str(row["error"]),
        setting={name: value for name, value in setting.items() if value is not None},
        suggested=suggested,
        scores=scores,
        costs=_numbers({name: row[name] for name in COSTS}),
        waits=result.get("ended") == "rung",
        went_on=bool(config.get("taken_up")),
        history=curve(result.get("history")),
    )


def _suggested(config: dict[str, Any]) -> dict[str, Value | None]:
    """Rates and threshold that a trial's configuration has a value of, and all its options."""
    rates = {name: _value(config.get(name)) for name in ("outer_lr", "inner_lr", "delta")}
    suggested: dict[str, Value | None] = {name: value for name, value in rates.items() if value is not None}
    options = config.get("options")
    if not isinstance(options, dict):
        options = {}
    return suggested | {str(name): _value(value) for name, value in options.items()}


def curve(entries: Any) -> Curve:
    """The curves of a result's history, or of a part of it; entries that are damaged are left out."""
    points: Curve = []
    for entry in entries if isinstance(entries, list) else []:
        step = _whole(entry.get("step")) if isinstance(entry, dict) else None
        if step is not None:
            points.append((step, _numbers({title: entry.get(name) for name, title in HISTORY.items()})))
    return points


def _hm_at(result: dict[str, Any], delta: Value | None) -> float | None:
    """Validation HM at a threshold, from the result's curve over all: ``hm[k]`` holds up to and with ``delta[k]``."""
    if not isinstance(delta, float):
        return None
    try:
        curve = result["validation"]["curve"]
        return float(next(hm for end, hm in zip(curve["delta"], curve["hm"], strict=True) if delta <= end))
    except (KeyError, TypeError, ValueError, StopIteration):
        return None


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    """Those of the values that are finite numbers; a flag counts as one."""
    known = {name: _value(value) for name, value in values.items()}
    return {name: value for name, value in known.items() if isinstance(value, int | float)}


def _whole(value: Any) -> int | None:
    """A whole number; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _value(value: Any) -> Value | None:
    """A flag, a text or a finite number; None for anything else."""
    if isinstance(value, bool | str):
        return value
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
