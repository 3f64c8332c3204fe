"""MLflow export: a run a trial, in an experiment of the study's name, with parameters, results and curves.

Runs are told apart by the tags ``sldd.trial`` and ``sldd.attempt``. One whose trial still ran is completed once the
trial has ended; so is one that an interrupted export left behind. A confirm trial that a longer search has overtaken is
no longer in the study: its run stays, with the tag ``sldd.superseded``.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
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
from study.export.cells import TrialMetadata, check_same, identity, read_cells, when

logging.getLogger("mlflow").setLevel(logging.WARNING)  # a new database is no news

_STATES = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}
_AT_ONCE = 1000  # metrics in a request, and runs in an answer
_PACKAGE = "package.safetensors"
Key: TypeAlias = tuple[str | None, str | None]


def export(study: Study, where: str, *, packages: bool = False) -> str:
    """Bring the MLflow store at the URI ``where`` up to date; what was done, in words.

    Args:
        packages: add what each trial would share as an artifact of its run.

    Raises:
        InputError: the store cannot be used, or holds another study of this name.
    """
    try:
        client = MlflowClient(tracking_uri=where)
        experiment = _experiment(study, client)
        known = {_key(run): run for run in _runs(client, experiment)}
        new = changed = 0
        there: set[str | None] = set()
        for _, trials in read_cells(study):
            for trial in trials:
                there.add(trial.trial)
                added, altered = _export_trial(study, client, experiment, trial, known, packages)
                new, changed = new + added, changed + altered
        for (trial_name, _), run in known.items():
            if trial_name not in there and "sldd.superseded" not in run.data.tags:
                client.set_tag(run.info.run_id, "sldd.superseded", "true")
                changed += 1
    except (MlflowException, SQLAlchemyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"--mlflow: the store cannot be used ({reason})") from None
    return f"{new} runs new, {changed} changed, in experiment {study.name}"


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


def _export_trial(
    study: Study, client: MlflowClient, experiment: str, trial: TrialMetadata, known: dict[Key, Run], packages: bool
) -> tuple[int, int]:
    """Export a trial; returns the numbers of new and of changed runs."""
    changed = 0
    for attempt in range(1, trial.attempt):
        earlier = known.get((trial.trial, str(attempt)))
        if earlier is not None and earlier.info.status == "RUNNING":
            client.set_terminated(earlier.info.run_id, "FAILED")
            changed += 1
    there = known.get((trial.trial, str(trial.attempt)))
    began, ended = when(study, trial) if there is None or there.info.status == "RUNNING" else (None, None)
    run = there or client.create_run(
        experiment, start_time=_milliseconds(began), tags=_tags(trial), run_name=trial.trial
    )
    if not run.data.params:
        _log(client, run.info.run_id, parameters=trial.setting | {"phase": trial.phase} | trial.suggested)
    ends = run.info.status == "RUNNING" and trial.status in _STATES
    shares = packages and trial.status in _STATES and "sldd.package" not in run.data.tags
    shared = shares and _add_package(study, client, run.info.run_id, trial)
    if ends:
        time = _milliseconds(ended or began) or 0
        _log(client, run.info.run_id, metrics=_metrics(trial, time), tags=_tags(trial))
        client.set_terminated(run.info.run_id, _STATES[trial.status], end_time=time)
    if there is None:
        return 1, changed
    return 0, changed + int(ends or shared)


def _tags(trial: TrialMetadata) -> dict[str, str]:
    tags = {"trial": trial.trial, "attempt": str(trial.attempt), "cell": trial.cell, "phase": trial.phase}
    tags |= {"status": trial.status, "stopped": str(trial.stopped).lower()}
    tags |= {"error": trial.error} if trial.error else {}
    return {f"sldd.{name}": value for name, value in tags.items()}


def _metrics(trial: TrialMetadata, time: int) -> list[Metric]:
    """Results at the last outer step; curves at theirs. All of one time: logged twice, they are the same metrics."""
    last = int(trial.costs.get("outer_steps", 0))
    results = [Metric(name, value, time, last) for name, value in (trial.scores | trial.costs).items()]
    curves = [Metric(name, value, time, step) for step, values in trial.history for name, value in values.items()]
    return results + curves


def _log(
    client: MlflowClient,
    run: str,
    *,
    parameters: dict[str, Any] | None = None,
    metrics: list[Metric] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    logged = [Param(name, "none" if value is None else str(value)) for name, value in (parameters or {}).items()]
    client.log_batch(run, params=logged, tags=[RunTag(name, value) for name, value in (tags or {}).items()])
    rest = iter(metrics or [])
    while part := list(islice(rest, _AT_ONCE)):
        client.log_batch(run, metrics=part)


def _add_package(study: Study, client: MlflowClient, run: str, trial: TrialMetadata) -> bool:
    """Log the trial's package; False where it has left none."""
    try:
        content = (study.trial_folder(trial.trial) / _PACKAGE).read_bytes()
    except OSError:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / _PACKAGE
        path.write_bytes(content)
        client.log_artifact(run, str(path))
    client.set_tag(run, "sldd.package", "true")
    return True


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else int(1000 * time.timestamp())
