"""The export command: what leaves a study, what is refused, and in which words."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from analysis.records.records import read_study
from study.export.__main__ import main
from study.export.cells import read_cells, read_exported
from tests.analysis.conftest import Ledger
from tests.study.export.conftest import HISTORY, told, validation

# MLflow's tables use what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def test_nothing_of_a_patient_leaves(run, study, mlflow, tmp_path):
    run("--optuna", told(tmp_path), "--tensorboard", tmp_path / "logs", "--mlflow", mlflow)
    written = b"".join(path.read_bytes() for path in (tmp_path / "logs").rglob("*") if path.is_file())
    for database in (tmp_path / "study.db", Path(mlflow.removeprefix("sqlite:///"))):
        with sqlite3.connect(database) as opened:
            written += "\n".join(opened.iterdump()).encode()
        opened.close()
    assert b"backbone" in written
    for word in (b"P-0123", b"votes", b"pseudonym", str(tmp_path).encode()):
        assert word not in written, word


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_trial_at_a_rung_still_runs_until_its_cell_is_confirmed(study, confirmed):
    cell = "net-m2-one_hot-as_is-sldd-s1e1"
    study.end(study.folder / "trials" / cell / "1", validation=validation(0.5), history=HISTORY[:1], ended="rung")
    if not confirmed:
        shutil.rmtree(study.folder / "trials" / cell / "11")
    trials = next(trials for name, trials in read_exported(read_study(study.folder)) if name == cell)
    assert [trial.status for trial in trials[:2]] == ["done", "done" if confirmed else "running"]


@pytest.mark.parametrize("target", ["tensorboard", "mlflow"])
def test_a_run_that_was_taken_for_ended_is_completed_where_its_trial_goes_on(run, study, mlflow, tmp_path, target):
    where = {"tensorboard": str(tmp_path / "logs"), "mlflow": mlflow}[target]
    folder = study.folder / "trials" / "net-m2-one_hot-as_is-sldd-s1e1" / "1"
    study.end(folder, validation=validation(0.5), history=HISTORY[:1], ended="rung")
    run(f"--{target}", where)  # its cell is confirmed; then it is searched for longer
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"taken_up": [0.5]}))
    study.end(folder, validation=validation(0.6), history=HISTORY)
    os.utime(folder / "result.json", (time.time() + 60,) * 2)
    (first,) = run(f"--{target}", where)
    assert {"tensorboard": "1 runs new, 4 there", "mlflow": "0 runs new, 1 changed"}[target] in first
    if target == "mlflow":
        assert "0 runs new, 0 changed" in run("--mlflow", where)[0]


def test_facts_are_plain_values(study):
    told = [trial for _, trials in read_cells(read_study(study.folder)) for trial in trials]
    assert told
    for trial in told:
        facts = [trial.setting, trial.suggested, trial.scores, trial.costs, [list(entry) for entry in trial.history]]
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_a_failed_trial_has_no_chosen_threshold(study):
    cell = "net-m2-one_hot-as_is-sldd-s1e1"
    study.end(study.folder / "trials" / cell / "10", status="failed", error="OSError: no", delta=None, history=[])
    trials = next(trials for name, trials in read_cells(read_study(study.folder)) if name == cell)
    failed = next(trial for trial in trials if trial.number == 10)
    assert failed.suggested["delta"] == 0.37
    assert "chosen_delta" not in failed.scores


@pytest.mark.parametrize("target", ["optuna", "tensorboard", "mlflow"])
def test_another_study_of_the_same_name_is_refused(run, study, mlflow, tmp_path, capsys, target):
    where = {"optuna": told(tmp_path), "tensorboard": str(tmp_path / "logs"), "mlflow": mlflow}[target]
    run(f"--{target}", where)
    study.described["provenance"]["started"] = "2026-11-22T22:30:00+00:00"
    study.save()
    assert main([str(study.folder), f"--{target}", where]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"holds another study called {study.described['name']}" in line


@pytest.mark.parametrize(("library", "target"), [("tensorboardX", "tensorboard"), ("mlflow", "mlflow")])
def test_a_library_that_is_not_installed_is_named(study, tmp_path, monkeypatch, capsys, library, target):
    monkeypatch.delitem(sys.modules, f"study.export.to_{target}", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    arguments = [str(study.folder), "--optuna", told(tmp_path), f"--{target}", str(tmp_path / "out")]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"export: --{target} needs {library}, which is not installed: pip install 'sldd-study[{target}]'"
    assert not (tmp_path / "study.db").exists(), "nothing is half done"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say where to"),
        (["--tensorboard", "{folder}/logs", "--packages"], "add --mlflow URI or --wandb"),
        (["--optuna", "study.db"], "--optuna: the database cannot be used"),
        (["--optuna", "sqlite:///{folder}/none/study.db"], "--optuna: the database cannot be used"),
        (["--tensorboard", "{folder}/results/ours/study.yaml"], "--tensorboard: "),
        (["--tensorboard", "nosuchstore://logs"], "--tensorboard: "),
        (["--mlflow", "nosuchstore://mlflow"], "--mlflow: the store cannot be used"),
        (["--mlflow", "sqlite:///{folder}/results/ours/study.yaml"], "--mlflow: the store cannot be used"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(study, tmp_path, capsys, arguments, says):
    assert main([str(study.folder), *(each.format(folder=tmp_path) for each in arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("export: ")
    assert says in line


@pytest.mark.parametrize("reader", ["study.export.__main__.read_study", "study.export.cells.read_trials"])
def test_a_study_that_cannot_be_read_just_now_is_one_line(study, tmp_path, monkeypatch, capsys, reader):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(reader, fail)
    assert main([str(study.folder), "--tensorboard", str(tmp_path / "logs")]) == 2
    words = f"export: {study.folder} cannot be read just now (Input/output error); try again later\n"
    assert capsys.readouterr().err == words


def test_no_study_and_an_empty_one(tmp_path, capsys):
    assert main([str(tmp_path), "--optuna", told(tmp_path)]) == 2
    assert "not a study folder" in capsys.readouterr().err
    empty = Ledger(tmp_path / "empty", config={})
    assert main([str(empty.folder), "--optuna", told(tmp_path), "--tensorboard", str(tmp_path / "logs")]) == 0
    assert "optuna: 0 trials new" in capsys.readouterr().out
