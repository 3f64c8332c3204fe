"""MLflow export: one run for each trial, in an experiment of the study's name, with parameters, results and curves.

The tags ``sldd.trial`` and ``sldd.attempt`` identify a run. Where a trial still ran when it was exported, or an export
was interrupted, a later export completes the run. A confirm trial that a longer search has overtaken is no longer in
the study: its run stays, with the tag ``sldd.superseded``.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from analysis.records.records import Study
from sldd.errors import InputError
from study.export.cells import Curve, TrialMetadata, check_same, identity, is_gone, read_exported, when
from study.export.picture import picture

logging.getLogger("mlflow").setLevel(logging.WARNING)  # a new database is no news

_STATES = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}
"""MLflow's status of a run by its trial's, for trials that have ended."""
_AT_ONCE = 1000  # metrics in a request, and runs in an answer
_PACKAGE = "package.safetensors"
_SENT = "sldd.step"
"""Tag of a run: the outer step up to which its curves were sent while its trial ran."""
Key: TypeAlias = tuple[str | None, str | None]
"""(trial, attempt) of a run, by its tags; None where a run has no such tag."""


def export(study: Study, where: str, *, packages: bool = False) -> str:
    """Bring the MLflow store at the URI ``where`` up to date; what was done, in words.

    Args:
        packages: add what each trial would share as an artifact of its run.

    Raises:
        InputError: the store cannot be used, or holds another study of this name.
    """
    runs = Runs(study, where, packages=packages)
    new = changed = 0
    for _, trials in read_exported(study):
        for trial in trials:
            made, updated = runs.put(trial)
            new, changed = new + made, changed + updated
    changed += runs.supersede()
    return f"{new} runs new, {changed} changed, in experiment {study.name}"


@dataclass
class _Known:
    """A run as the store has it."""

    run: str
    """MLflow's identifier."""
    status: str
    """MLflow's, such as ``RUNNING``."""
    tags: dict[str, str]
    has_parameters: bool = False
    """False where an export was interrupted before it sent them."""


class Runs:
    """A study's runs in an MLflow store.

    Raises:
        InputError: by all methods: the store cannot be used, or holds another study of this name.
    """

    def __init__(self, study: Study, where: str | None, *, packages: bool = False, pictures: bool = False) -> None:
        self._study, self._packages, self._pictures = study, packages, pictures
        with _as_input_error():
            self._client = MlflowClient(tracking_uri=where)
            self._experiment = _experiment(study, self._client)
            self._known = {_key(run): _known(run) for run in _runs(self._client, self._experiment)}
        self._there: set[str | None] = set()  # names of trials that the study has

    def put(self, trial: TrialMetadata) -> tuple[int, int]:
        """Bring a trial's run up to date; returns the numbers of new and of changed runs."""
        self._there.add(trial.trial)
        with _as_input_error():
            changed = self._end_earlier(trial)
            run, new = self._run(trial)
            has_ended = trial.status in _STATES
            sent = int(run.tags.get(_SENT, -1))
            further = trial.went_on and trial.last_step > sent  # it was sent as ended at a rung, and went on since
            ends = has_ended and (run.status == "RUNNING" or further)
            # A run that ends gets its package even if it has one: that is of the rung from which its trial went on.
            shares = self._packages and has_ended and (ends or "sldd.package" not in run.tags)
            shared = shares and self._add_package(run, trial)
            if ends:
                self._end(run, trial, sent)
        return (1, changed) if new else (0, changed + int(ends or shared))

    def _end(self, run: _Known, trial: TrialMetadata, sent: int) -> None:
        """Send results, and the curves from after step ``sent``, of a trial that has ended; give its run this state."""
        began, ended = when(self._study, trial)
        at = _milliseconds(ended or began) or 0
        step = {_SENT: str(trial.last_step)} if trial.history else {}  # should it go on from a rung
        self._log(run, metrics=_metrics(trial, at, sent), tags=_tags(trial) | step)
        self._client.set_terminated(run.run, _STATES[trial.status], end_time=at)
        run.status = _STATES[trial.status]

    def follow(self, trial: TrialMetadata, points: Curve) -> None:
        """Add points to the curves of a trial that runs, but for those that were sent before."""
        with _as_input_error():
            self._end_earlier(trial)
            run, _ = self._run(trial)
            if run.status != "RUNNING":  # it waited at a rung
                self._client.update_run(run.run, status="RUNNING")
                run.status = "RUNNING"
            now, sent = int(1000 * time.time()), int(run.tags.get(_SENT, -1))
            new = [(step, values) for step, values in points if step > sent]
            metrics = [Metric(name, value, now, step) for step, values in new for name, value in values.items()]
            if new:
                self._log(run, metrics=metrics, tags={_SENT: str(new[-1][0])})

    def supersede(self) -> int:
        """Mark the runs of trials that a longer search has overtaken; returns how many were not marked before.

        To be called once all trials of the study were ``put``.
        """
        gone = []
        for (trial, _), run in self._known.items():
            if trial is None or trial in self._there or "sldd.superseded" in run.tags:
                continue
            if is_gone(self._study, trial):  # or else it was begun after the study was read
                gone.append(run)
        with _as_input_error():
            for run in gone:
                self._client.set_tag(run.run, "sldd.superseded", "true")
        return len(gone)

    def close(self) -> None:
        """Nothing is kept open; runs of trials that did not end stay as they are."""

    def _end_earlier(self, trial: TrialMetadata) -> int:
        """End the runs of a trial's earlier attempts; returns how many still ran."""
        earlier = [self._known.get((trial.trial, str(attempt))) for attempt in range(1, trial.attempt)]
        open_ = [run for run in earlier if run is not None and run.status == "RUNNING"]
        for run in open_:
            self._client.set_terminated(run.run, "FAILED")
            run.status = "FAILED"
        return len(open_)

    def _run(self, trial: TrialMetadata) -> tuple[_Known, bool]:
        """The run of a trial, and whether it was made now."""
        key = (trial.trial, str(trial.attempt))
        new = key not in self._known
        if new:
            began, _ = when(self._study, trial)
            made = self._client.create_run(
                self._experiment, start_time=_milliseconds(began), tags=_tags(trial), run_name=trial.trial
            )
            self._known[key] = _known(made)
        run = self._known[key]
        if not run.has_parameters:
            self._log(run, parameters=trial.setting | {"phase": trial.phase} | trial.suggested)
            run.has_parameters = True
        return run, new

    def _log(
        self,
        run: _Known,
        *,
        parameters: dict[str, Any] | None = None,
        metrics: list[Metric] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Send parameters, metrics and tags of a run, in requests of a size that MLflow takes.

        Metrics go first: where they are interrupted, no tag says that they were sent.
        """
        rest = iter(metrics or [])
        while part := list(islice(rest, _AT_ONCE)):
            self._client.log_batch(run.run, metrics=part)
        logged = [Param(name, "none" if value is None else str(value)) for name, value in (parameters or {}).items()]
        if logged or tags:
            named = [RunTag(name, value) for name, value in (tags or {}).items()]
            self._client.log_batch(run.run, params=logged, tags=named)
        run.tags |= tags or {}

    def _add_package(self, run: _Known, trial: TrialMetadata) -> bool:
        """Log a trial's package, and its picture where these are wanted; False where it has left none."""
        try:
            content = (self._study.trial_folder(trial.trial) / _PACKAGE).read_bytes()
        except OSError:
            return False
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / _PACKAGE).write_bytes(content)
            if self._pictures and (shown := picture(self._study, trial)) is not None:
                shown.save(Path(scratch) / "distilled.png")
            self._client.log_artifacts(run.run, scratch)
        self._client.set_tag(run.run, "sldd.package", "true")
        run.tags["sldd.package"] = "true"
        return True


@contextmanager
def _as_input_error() -> Iterator[None]:
    """Raises what the store raises as an InputError, one line for the user."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"--mlflow: the store cannot be used ({reason})") from None


def _known(run: Run) -> _Known:
    return _Known(run.info.run_id, run.info.status, dict(run.data.tags), bool(run.data.params))


def _experiment(study: Study, client: MlflowClient) -> str:
    """Identifier of the study's experiment, which is made where there is none."""
    found = client.get_experiment_by_name(study.name)
    if found is None:
        return str(client.create_experiment(study.name, tags={"sldd.study": identity(study)}))
    if found.lifecycle_stage != "active":
        raise InputError(f"--mlflow: the experiment {study.name} was deleted there; restore it, or remove it for good")
    check_same(study, found.tags.get("sldd.study"), "--mlflow: the store")
    return str(found.experiment_id)


def _runs(client: MlflowClient, experiment: str) -> Iterator[Run]:
    """All runs of an experiment, page by page."""
    token: str | None = None
    while True:
        page = client.search_runs([experiment], max_results=_AT_ONCE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _key(run: Run) -> Key:
    return run.data.tags.get("sldd.trial"), run.data.tags.get("sldd.attempt")


def _tags(trial: TrialMetadata) -> dict[str, str]:
    tags = {"trial": trial.trial, "attempt": str(trial.attempt), "cell": trial.cell, "phase": trial.phase}
    tags |= {"status": trial.status, "stopped": str(trial.stopped).lower()}
    tags |= {"error": trial.error} if trial.error else {}
    return {f"sldd.{name}": value for name, value in tags.items()}


def _metrics(trial: TrialMetadata, time: int, sent: int) -> list[Metric]:
    """A trial's results, at its last outer step, and its curves from after the step ``sent``.

    Args:
        time: milliseconds since the epoch, the same for all: metrics that are sent twice are then equal, and MLflow
            keeps them once.
    """
    last = int(trial.costs.get("outer_steps", 0))
    results = [Metric(name, value, time, last) for name, value in (trial.scores | trial.costs).items()]
    unsent = [(step, values) for step, values in trial.history if step > sent]
    return results + [Metric(name, value, time, step) for step, values in unsent for name, value in values.items()]


def _milliseconds(time: datetime | None) -> int | None:
    """Milliseconds since the epoch."""
    return None if time is None else int(1000 * time.timestamp())
