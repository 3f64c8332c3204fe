"""A study for MLflow, read back by MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from analysis.records.records import read_study
from study.export.__main__ import main
from study.export.to_mlflow import export
from tests.analysis.conftest import Ledger, save_package
from tests.study.export.conftest import HISTORY, interrupted, search, validation

# MLflow's tables use what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def mlflow_runs(store: str, study: Ledger) -> dict[str, Any]:
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(study.described["name"])
    assert experiment is not None
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_mlflow_has_a_run_a_trial(run, study, mlflow):
    assert run("--mlflow", mlflow) == [f"mlflow: 6 runs new, 0 changed, in experiment {study.described['name']}"]
    cell, runs = "net-m2-one_hot-as_is-sldd-s1e1", mlflow_runs(mlflow, study)
    states = [runs[f"{cell}/{number}"].info.status for number in (0, 1, 2, 10, 11)]
    assert states == ["FINISHED", "FINISHED", "FAILED", "RUNNING", "FINISHED"]
    assert runs[f"{cell}/1"].data.tags["sldd.stopped"] == "true"
    confirmed = runs[f"{cell}/11"]
    assert confirmed.data.params["backbone"] == "net"
    assert confirmed.data.params["outer_lr"] == "0.02"
    assert confirmed.data.metrics["test_hm"] == 0.85
    assert confirmed.data.metrics["seconds"] == 31.25
    client = MlflowClient(tracking_uri=mlflow)
    curve = [(metric.step, metric.value) for metric in client.get_metric_history(confirmed.info.run_id, "loss")]
    assert curve == [(100, 1.5), (200, 1.25)]
    assert client.list_artifacts(confirmed.info.run_id) == []


def test_mlflow_again_completes_runs_and_adds_what_is_asked_for(run, study, mlflow, monkeypatch):
    monkeypatch.setattr("study.export.to_mlflow._AT_ONCE", 2)
    cell = "net-m2-one_hot-as_is-sldd-s1e1"
    run("--mlflow", mlflow)
    before = mlflow_runs(mlflow, study)
    assert "0 runs new, 0 changed" in run("--mlflow", mlflow)[0]
    study.end(study.folder / "trials" / cell / "10", validation=validation(), history=HISTORY)
    assert "0 runs new, 2 changed" in run("--mlflow", mlflow, "--packages")[0]
    after = mlflow_runs(mlflow, study)
    assert after.keys() == before.keys()
    ended = after[f"{cell}/10"]
    assert (ended.info.status, ended.data.metrics["val_hm"]) == ("FINISHED", 0.75)
    client = MlflowClient(tracking_uri=mlflow)
    (package,) = client.list_artifacts(after[f"{cell}/11"].info.run_id)
    assert package.path == "package.safetensors"
    assert "0 runs new, 0 changed" in run("--mlflow", mlflow, "--packages")[0]


def test_mlflow_has_the_package_of_a_trial_that_went_on_from_a_rung(run, study, mlflow, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    cell, sent = "net-m2-one_hot-as_is-sldd-s1e1", []
    folder = study.folder / "trials" / cell / "1"
    config, client = json.loads((folder / "config.json").read_text()), MlflowClient(tracking_uri=mlflow)
    for taken_up, history in (([], HISTORY[:1]), ([0.5], HISTORY)):  # its cell was confirmed at the rung
        (folder / "config.json").write_text(json.dumps(config | {"taken_up": taken_up}))
        save_package(folder / "package.safetensors", np.random.default_rng(len(taken_up)), 2)
        study.end(folder, validation=validation(0.5), history=history, ended=None if taken_up else "rung")
        run("--mlflow", mlflow, "--packages")
        there = mlflow_runs(mlflow, study)[f"{cell}/1"].info.run_id
        path = client.download_artifacts(there, "package.safetensors", str(tmp_path))
        sent.append(Path(path).read_bytes())
        assert sent[-1] == (folder / "package.safetensors").read_bytes()
    assert sent[0] != sent[1]
    assert "0 runs new, 0 changed" in run("--mlflow", mlflow, "--packages")[0]


@pytest.mark.parametrize("calls", range(1, 5))
def test_mlflow_is_completed_where_an_export_was_interrupted(run, study, mlflow, capsys, calls):
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, MlflowClient, "log_batch", calls)
        assert main([str(study.folder), "--mlflow", mlflow]) == 130
    assert "interrupted" in capsys.readouterr().err
    run("--mlflow", mlflow)
    cell, runs = "net-m2-one_hot-as_is-sldd-s1e1", mlflow_runs(mlflow, study)
    assert len(runs) == 6
    for number in (0, 1, 11):
        done = runs[f"{cell}/{number}"]
        assert (done.info.status, done.data.params["clip"]) == ("FINISHED", "3.0")
        assert {"val_hm", "validation/hm", "seconds"} <= done.data.metrics.keys()


def test_mlflow_marks_what_a_longer_search_has_overtaken(run, study, mlflow):
    cell = "net-m2-one_hot-as_is-sldd-s1e1"
    run("--mlflow", mlflow)
    (study.folder / "trials" / cell / "11").rename(study.folder / "overtaken")
    assert "0 runs new, 1 changed" in run("--mlflow", mlflow)[0]
    assert mlflow_runs(mlflow, study)[f"{cell}/11"].data.tags["sldd.superseded"] == "true"


def test_mlflow_does_not_mark_what_was_begun_after_the_study_was_read(run, study, mlflow):
    cell, before = "net-m2-one_hot-as_is-sldd-s1e1", read_study(study.folder)
    search(study, cell, 12, ended=False)
    run("--mlflow", mlflow)
    assert "0 runs new, 0 changed" in export(before, mlflow)
    assert "sldd.superseded" not in mlflow_runs(mlflow, study)[f"{cell}/12"].data.tags
