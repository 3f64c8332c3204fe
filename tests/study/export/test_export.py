"""A study for other programs, read back with their own readers."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from mlflow.tracking import MlflowClient
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from analysis.records.records import read_study
from study.export.__main__ import main
from study.export.cells import read_cells
from tests.analysis.conftest import Ledger, save_package

# MLflow's tables use what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
SEARCH = {
    "trials": 4,
    "outer_lr": [0.005, 0.2],
    "inner_lr": [0.005, 0.5],
    "delta": [0.05, 0.95],
    "options": {"clip": [None, 3.0]},
}
HISTORY = [
    {"step": 100, "loss": 1.5, "val_hm": 0.5, "val_auc": 0.6, "val_patch_accuracy": None},
    {"step": 200, "loss": 1.25, "val_hm": 0.75, "val_auc": 0.7, "val_patch_accuracy": 0.5},
]
CURVE = {"delta": [0.2, 0.6, 1.0], "hm": [0.25, 0.75, 0.0]}
PATIENTS = [{"patient": "P-0123456789", "label": 1, "votes": [1, 2, 3]}]


def validation(hm: float = 0.75) -> dict[str, Any]:
    return {"hm": hm, "auc": 0.7, "patch_accuracy": 0.5, "curve": CURVE, "patients": PATIENTS, "undecided_patients": 0}


def search(study: Ledger, cell: str, number: int, *, ended: bool = True, **changed: Any) -> Path:
    folder = study.trial(cell, number, "search", options={"clip": 3.0}, seed=0)
    if ended:
        study.end(folder, **({"validation": validation(), "history": HISTORY} | changed))
    return folder


def confirm(study: Ledger, cell: str, number: int) -> Path:
    folder = study.trial(cell, number, "confirm", options={"clip": 3.0})
    test = validation() | {"sensitivity": 0.8, "specificity": 0.9, "hm": 0.85, "hm_at_0.4": 0.5}
    return study.end(folder, validation=validation(), test=test, history=HISTORY)


@pytest.fixture
def study(tmp_path: Path) -> Ledger:
    """A cell with a trial of every kind, and one of ordinary training."""
    study = Ledger(tmp_path / "results" / "ours", config={"search": SEARCH})
    cell = study.cell("net", 1000, 2)
    search(study, cell, 0)
    search(study, cell, 1, stopped=True, validation=validation(0.5), history=HISTORY[:1])
    search(study, cell, 2, status="diverged", error="the loss is nan", validation=None, history=[])
    search(study, cell, 10, ended=False)
    save_package(confirm(study, cell, 11) / "package.safetensors", np.random.default_rng(0), 2)
    train = study.cell("net", 1000, None, cell="net-train", method="train")
    study.end(study.trial(train, 0, "search", inner_lr=None, outer_lr=0.001), validation=validation())
    return study


@pytest.fixture
def run(study: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs the command on the study; the lines it said."""

    def run(*arguments: object) -> list[str]:
        assert main([str(study.folder), *map(str, arguments)]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        return said.out.splitlines()

    return run


def told(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


def optuna_trials(where: str, cell: str = "net-m2-one_hot-as_is-sldd-s1e1") -> list[FrozenTrial]:
    return optuna.load_study(study_name=f"ours/{cell}", storage=where).trials


def test_optuna_has_a_study_a_cell_and_its_search_trials(run, tmp_path):
    assert run("--optuna", told(tmp_path))[0].startswith("optuna: 5 trials new, 0 changed, in 2 studies of sqlite")
    trials = optuna_trials(told(tmp_path))
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.RUNNING,
    ]
    assert [trial.value for trial in trials] == [0.75, 0.5, None, None]
    first = trials[0]
    assert first.params == {"outer_lr": 0.02, "inner_lr": 0.05, "delta": 0.37, "clip": 3.0}
    assert first.distributions == {
        "outer_lr": FloatDistribution(0.005, 0.2, log=True),
        "inner_lr": FloatDistribution(0.005, 0.5, log=True),
        "delta": FloatDistribution(0.05, 0.95),
        "clip": CategoricalDistribution([None, 3.0]),
    }
    assert first.intermediate_values == {100: 0.5, 200: 0.75}
    assert first.duration is not None
    assert first.duration.total_seconds() == pytest.approx(31.25)
    attributes = first.user_attrs
    assert (attributes["trial"], attributes["seconds"]) == ("net-m2-one_hot-as_is-sldd-s1e1/0", 31.25)
    assert (attributes["peak_memory_mib"], attributes["chosen_delta"]) == (512.0, 0.41)
    assert attributes["hm_at_suggested_delta"] == 0.75, "0.37 lies in (0.2, 0.6]"
    assert trials[2].user_attrs["error"] == "the loss is nan"


def test_a_range_that_was_narrowed_since_still_holds_what_was_tried(run, tmp_path):
    run("--optuna", told(tmp_path))
    (train,) = optuna_trials(told(tmp_path), "net-train")
    assert train.params == {"outer_lr": 0.001, "delta": 0.37}
    assert train.distributions["outer_lr"] == FloatDistribution(0.0003, 0.01, log=True)


def test_confirm_trials_are_an_attribute_and_no_optuna_trial(run, tmp_path):
    run("--optuna", told(tmp_path))
    cell = optuna.load_study(study_name="ours/net-m2-one_hot-as_is-sldd-s1e1", storage=told(tmp_path))
    (found,) = cell.user_attrs["confirm"]
    assert (found["trial"], found["seed"], found["test_hm"]) == ("net-m2-one_hot-as_is-sldd-s1e1/11", 111, 0.85)
    assert cell.user_attrs["backbone"] == "net"
    assert cell.best_trial.number == 0
    for trial in cell.trials:
        assert not any("test" in name for name in trial.user_attrs), "a search never met a test patient"


def test_the_command_again_changes_nothing_and_then_adds_what_is_new(run, study, tmp_path):
    where, cell = told(tmp_path), "net-m2-one_hot-as_is-sldd-s1e1"
    run("--optuna", where)
    before = optuna_trials(where)
    assert run("--optuna", where)[0].startswith("optuna: 0 trials new, 0 changed")
    assert optuna_trials(where) == before
    study.end(study.folder / "trials" / cell / "10", validation=validation(0.6), history=HISTORY)
    search(study, cell, 12)
    confirm(study, cell, 13)
    assert run("--optuna", where)[0].startswith("optuna: 1 trials new, 1 changed")
    after = optuna_trials(where)
    assert after[:3] == before[:3]
    assert [(trial.state.name, trial.value) for trial in after[3:]] == [("COMPLETE", 0.6), ("COMPLETE", 0.75)]
    assert after[3].intermediate_values == {100: 0.5, 200: 0.75}
    assert after[3].user_attrs["seconds"] == 31.25
    assert len(optuna.load_study(study_name=f"ours/{cell}", storage=where).user_attrs["confirm"]) == 2


def test_a_failed_trial_that_is_tried_again_is_a_trial_of_its_own(run, study, tmp_path):
    where, cell = told(tmp_path), "net-m2-one_hot-as_is-sldd-s1e1"
    trial = study.folder / "trials" / cell / "10"
    run("--optuna", where)
    config = json.loads((trial / "config.json").read_text())
    (trial / "config.json").write_text(json.dumps(config | {"attempt": 2}))
    assert run("--optuna", where)[0].startswith("optuna: 1 trials new, 1 changed")
    states = [(trial.state.name, trial.user_attrs["attempt"]) for trial in optuna_trials(where)[3:]]
    assert states == [("FAIL", 1), ("RUNNING", 2)]
    study.end(trial, validation=validation(), attempt=2)
    run("--optuna", where)
    states = [(trial.state.name, trial.user_attrs["attempt"]) for trial in optuna_trials(where)[3:]]
    assert states == [("FAIL", 1), ("COMPLETE", 2)]


@pytest.mark.parametrize("call", ["set_trial_user_attr", "set_trial_intermediate_value", "set_trial_state_values"])
def test_optuna_is_completed_where_an_export_was_interrupted(run, study, tmp_path, capsys, call):
    where, cell = told(tmp_path), "net-m2-one_hot-as_is-sldd-s1e1"
    run("--optuna", where)
    study.end(study.folder / "trials" / cell / "10", validation=validation(0.6), history=HISTORY)
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, RDBStorage, call, 1)
        assert main([str(study.folder), "--optuna", where]) == 130
    assert "interrupted" in capsys.readouterr().err
    run("--optuna", where)
    ended = optuna_trials(where)[3]
    assert (ended.state, ended.value, ended.intermediate_values) == (TrialState.COMPLETE, 0.6, {100: 0.5, 200: 0.75})
    assert ended.user_attrs["seconds"] == 31.25


@pytest.fixture
def events(run, tmp_path) -> Callable[[str], EventAccumulator]:
    logs = tmp_path / "logs"
    assert run("--tensorboard", logs) == [f"tensorboard: 5 runs new, 0 there before, in {logs}"]

    def read(run_name: str) -> EventAccumulator:
        found = EventAccumulator(str(logs / "ours" / run_name), size_guidance={"images": 0, "scalars": 0})
        return found.Reload()

    return read


def test_tensorboard_has_curves_by_outer_step_and_results(events):
    found = events("net-m2-one_hot-as_is-sldd-s1e1/0")
    curve = [(event.step, event.value) for event in found.Scalars("validation/hm")]
    assert curve == [(100, 0.5), (200, 0.75)]
    assert [event.step for event in found.Scalars("validation/patch_accuracy")] == [200]
    assert [event.value for event in found.Scalars("result/val_hm")] == [0.75]
    assert "result/test_hm" not in found.Tags()["scalars"]
    confirmed = events("net-m2-one_hot-as_is-sldd-s1e1/11")
    assert [(event.step, event.value) for event in confirmed.Scalars("result/test_hm")] == [(200, pytest.approx(0.85))]


def test_tensorboard_shows_distilled_images_under_their_labels(events, tmp_path):
    (image,) = events("net-m2-one_hot-as_is-sldd-s1e1/11").Images("distilled/images")
    (tmp_path / "image.png").write_bytes(image.encoded_image_string)
    with Image.open(tmp_path / "image.png") as picture:
        assert picture.size == (image.width, image.height)
        assert picture.size[0] > 2 * 224, "two images, enlarged, beside each other"
    assert events("net-m2-one_hot-as_is-sldd-s1e1/0").Tags()["images"] == []


def test_tensorboard_knows_the_parameters(events):
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    found = events("net-m2-one_hot-as_is-sldd-s1e1/11")
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    given = parse_session_start_info_plugin_data(content).hparams
    assert given["backbone"].string_value == "net"
    assert given["outer_lr"].number_value == 0.02
    assert given["phase"].string_value == "confirm"


def test_tensorboard_writes_each_run_once(events, run, study, tmp_path):
    files = {path: path.read_bytes() for path in (tmp_path / "logs").rglob("*") if path.is_file()}
    search(study, "net-m2-one_hot-as_is-sldd-s1e1", 12)
    assert run("--tensorboard", tmp_path / "logs")[0].startswith("tensorboard: 1 runs new, 5 there before")
    assert {path: path.read_bytes() for path in files} == files
    assert not [path for path in (tmp_path / "logs").rglob("*") if path.name.startswith(".")]


@pytest.fixture(scope="module")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all: making its tables takes longer than all the rest."""
    folder = tmp_path_factory.mktemp("mlflow")
    store = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)  # MLflow writes down where it was first used: no test's own folder
        MlflowClient(tracking_uri=store).search_experiments()
    return store


@pytest.fixture
def mlflow(mlflow_store: str, study: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # where artifacts of a local database go
    study.described["name"] = tmp_path.name
    study.save()
    return mlflow_store


def mlflow_runs(store: str, study: Ledger) -> dict[str, Any]:
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(study.described["name"])
    assert experiment is not None
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_a_trial_that_went_on_from_its_rung_is_there_pruned_and_complete(run, study, tmp_path):
    run("--optuna", told(tmp_path))
    folder = study.folder / "trials" / "net-m2-one_hot-as_is-sldd-s1e1" / "1"
    study.end(folder, validation=validation(0.6), history=HISTORY)
    for _ in range(2):
        run("--optuna", told(tmp_path))
    trials = optuna_trials(told(tmp_path))
    ended = [(trial.state, trial.value) for trial in trials if trial.user_attrs["trial"].endswith("/1")]
    assert ended == [(TrialState.PRUNED, 0.5), (TrialState.COMPLETE, 0.6)]


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


def interrupted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, calls: int) -> None:
    """Let a method of a library be interrupted, from its last of so many calls on."""
    method, made = getattr(kind, name), iter(range(calls - 1))

    def cut(*given: Any, **more: Any) -> Any:
        if next(made, None) is None:
            raise KeyboardInterrupt
        return method(*given, **more)

    monkeypatch.setattr(kind, name, cut)


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


def test_facts_are_plain_values(study):
    told = [trial for _, trials in read_cells(read_study(study.folder)) for trial in trials]
    assert told
    for trial in told:
        facts = [trial.setting, trial.suggested, trial.scores, trial.costs, [list(entry) for entry in trial.history]]
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts


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
        (["--tensorboard", "{folder}/logs", "--packages"], "add --mlflow"),
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


def test_no_study_and_an_empty_one(tmp_path, capsys):
    assert main([str(tmp_path), "--optuna", told(tmp_path)]) == 2
    assert "not a study folder" in capsys.readouterr().err
    empty = Ledger(tmp_path / "empty", config={})
    assert main([str(empty.folder), "--optuna", told(tmp_path), "--tensorboard", str(tmp_path / "logs")]) == 0
    assert "optuna: 0 trials new" in capsys.readouterr().out
