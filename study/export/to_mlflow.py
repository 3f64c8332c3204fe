"""MLflow export: a run a trial, in an experiment of the study's name, with parameters, results and curves.

Runs are told apart by the tags ``sldd.trial`` and ``sldd.attempt``. One whose trial still ran is completed once the
trial has ended; so is one that an interrupted export left behind. A confirm trial that a longer search has overtaken is
no longer in the study: its run stays, with the tag ``sldd.superseded``.
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
_AT_ONCE = 1000  # metrics in a request, and runs in an answer
_PACKAGE = "package.safetensors"
_SENT = "sldd.step"
"""Tag of a run: the outer step up to which its curves were sent while its trial ran."""
Key: TypeAlias = tuple[str | None, str | None]


def export(study: Study, where: str, *, packages: bool = False) -> str:
    """Bring the MLflow store at the URI ``where`` up to date; what was done, in words.

    Args:
        packages: add what each trial would share as an artifact of its run.

    Raises:
        InputError: the store cannot be used, or holds another study of this name.
    """
    runs = Runs(study, where, packages=packages)
    changes = [runs.put(trial) for _, trials in read_exported(study) for trial in trials]
    new, changed = (sum(each) for each in zip(*changes, strict=True)) if changes else (0, 0)
    return f"{new} runs new, {changed + runs.supersede()} changed, in experiment {study.name}"


@dataclass
class _Known:
    """A run as the store has it."""

    run: str
    status: str
    tags: dict[str, str]
    has_parameters: bool = False


class Runs:
    """A study's runs in an MLflow store.

    Raises:
        InputError: by all methods: the store cannot be used, or holds another study of this name.
    """

    def __init__(self, study: Study, where: str | None, *, packages: bool = False, pictures: bool = False) -> None:
        self._study, self._packages, self._pictures = study, packages, pictures
        with _told():
            self._client = MlflowClient(tracking_uri=where)
            self._experiment = _experiment(study, self._client)
            self._known = {_key(run): _known(run) for run in _runs(self._client, self._experiment)}
        self._there: set[str | None] = set()

    def put(self, trial: TrialMetadata) -> tuple[int, int]:
        """Bring a trial's run up to date; returns the numbers of new and of changed runs."""
        self._there.add(trial.trial)
        with _told():
            changed = self._end_earlier(trial)
            run, new = self._run(trial)
            sent, last = int(run.tags.get(_SENT, -1)), trial.history[-1][0] if trial.history else -1
            ends = trial.status in _STATES and (run.status == "RUNNING" or (trial.went_on and last > sent))
            # Of one that went on, the package that is there is the rung's.
            shares = self._packages and trial.status in _STATES and (ends or "sldd.package" not in run.tags)
            shared = shares and self._add_package(run, trial)
            if ends:
                began, ended = when(self._study, trial)
                at = _milliseconds(ended or began) or 0
                step = {_SENT: str(last)} if trial.history else {}  # should it go on from a rung
                self._log(run, metrics=_metrics(trial, at, sent), tags=_tags(trial) | step)
                self._client.set_terminated(run.run, _STATES[trial.status], end_time=at)
                run.status = _STATES[trial.status]
        return (1, changed) if new else (0, changed + int(ends or shared))

    def follow(self, trial: TrialMetadata, points: Curve) -> None:
        """Add points to the curves of a trial that runs, but for those that were sent before."""
        with _told():
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
        """Mark the runs of trials that are gone: a longer search has overtaken them; returns how many are new."""
        gone = [
            run
            for (trial, _), run in self._known.items()
            if trial is not None and trial not in self._there and "sldd.superseded" not in run.tags
            if is_gone(self._study, trial)  # and was not begun after the study was read
        ]
        with _told():
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
        """Metrics first: where that is interrupted, tags do not say that they were sent."""
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
def _told() -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"--mlflow: the store cannot be used ({reason})") from None


def _known(run: Run) -> _Known:
    return _Known(run.info.run_id, run.info.status, dict(run.data.tags), bool(run.data.params))


def _experiment(study: Study, client: MlflowClient) -> str:
    found = client.get_experiment_by_name(study.name)
    if found is None:
        return str(client.create_experiment(study.name, tags={"sldd.study": identity(study)}))
    if found.lifecycle_stage != "active":
        raise InputError(f"--mlflow: the experiment {study.name} was deleted there; restore it, or remove it for good")
    check_same(study, found.tags.get("sldd.study"), "--mlflow: the store")
    return str(found.experiment_id)


def _runs(client: MlflowClient, experiment: str) -> Iterator[Run]:
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
    """Results at the last outer step; curves at theirs, but for those up to ``sent``. All of one time: logged twice,
    they are the same metrics."""
    last = int(trial.costs.get("outer_steps", 0))
    results = [Metric(name, value, time, last) for name, value in (trial.scores | trial.costs).items()]
    rest = [(step, values) for step, values in trial.history if step > sent]
    return results + [Metric(name, value, time, step) for step, values in rest for name, value in values.items()]


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else int(1000 * time.timestamp())
