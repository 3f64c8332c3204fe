"""Trials followed while they run, read back by each tracker's client: once, whatever is resumed, and no trial lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ledger.trial_files import read_json
from sldd.errors import InputError
from study.config.schema import StudyConfig
from study.export.live import LiveTracking, check_tracker
from study.export.to_tensorboard import LIVE
from study.run import main
from tests.analysis.conftest import Ledger
from tests.study.command import TINY, Here
from tests.study.export.conftest import HISTORY, validation
from tests.study.export.test_to_wandb import offline, wandb_runs  # noqa: F401 (a fixture)

SHORT = ["grid.backbone=convnet_w32", "grid.images=3", "search.trials=1"]
# MLflow's tables use what SQLAlchemy 2.1 deprecates, its file store what it will replace.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]


def in_tensorboard(folder: Path) -> dict[str, dict[str, Any]]:
    """Of each run: its loss curve, all its scalars and its pictures."""
    found = {}
    for path in sorted({path.parent for path in folder.rglob("events*")}):
        read = EventAccumulator(str(path)).Reload()
        tags = read.Tags()
        curve = [(point.step, point.value) for point in read.Scalars("loss")] if "loss" in tags["scalars"] else []
        found["/".join(path.parts[-2:])] = {"loss": curve, "scalars": tags["scalars"], "images": tags["images"]}
    return found


def in_mlflow(store: str, name: str) -> dict[str, dict[str, Any]]:
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    found: dict[str, dict[str, Any]] = {}
    for run in client.search_runs([experiment.experiment_id]):
        assert run.info.run_name not in found, "a run a trial"
        points = client.get_metric_history(run.info.run_id, "loss")
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
        found[run.info.run_name] = {
            "loss": sorted((point.step, point.value) for point in points),
            "status": run.info.status,
            "scalars": run.data.metrics.keys(),
            "parameters": run.data.params,
            "files": files,
        }
    return found


def histories(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What the ledger has of each trial's loss."""
    found = {}
    for path in folder.glob("trials/*/*/result.json"):
        result = read_json(path) or {}
        entries = [(entry["step"], pytest.approx(entry["loss"], rel=1e-6)) for entry in result["history"]]
        found["/".join(path.parts[-3:-1])] = entries
    return found


def test_tensorboard_follows_a_study(tmp_path: Path) -> None:
    study = Here(tmp_path / "out", *SHORT, "track=tensorboard")
    assert study.status == 0, study.log.read_text()
    runs, told = in_tensorboard(study.folder / "tensorboard"), histories(study.folder)
    assert {name: run["loss"] for name, run in runs.items()} == told
    assert all("distilled/images" in run["images"] for name, run in runs.items())
    assert all("result/val_hm" in run["scalars"] for run in runs.values())
    assert list(study.folder.rglob(LIVE)) == []


def test_mlflow_follows_a_study_and_its_longer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = (tmp_path / "mlruns").as_uri()
    for more in ("confirm.repeats=1", "confirm.repeats=2"):
        study = Here(tmp_path / "out", *SHORT, "track=mlflow", f"track_to={store}", more)
        assert study.status == 0, study.log.read_text()
        runs, told = in_mlflow(store, "tiny"), histories(study.folder)
        assert {name: run["loss"] for name, run in runs.items()} == told
        assert {run["status"] for run in runs.values()} == {"FINISHED"}
        assert all(run["parameters"]["backbone"] == "convnet_w32" for run in runs.values())
        assert all({"val_hm", "seconds"} <= run["scalars"] for run in runs.values())
        assert all(run["files"] == ["distilled.png", "package.safetensors"] for run in runs.values())


@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_follows_a_study_offline_and_only_once(tmp_path: Path) -> None:
    for _ in range(2):
        study = Here(tmp_path / "out", *SHORT, "track=wandb", "track_to=ours")
        assert study.status == 0, study.log.read_text()
        runs = {run["name"]: run for run in wandb_runs(study.folder)}
        curves = {
            name: [(entry["outer_step"], entry["loss"]) for entry in run["history"] if "loss" in entry]
            for name, run in runs.items()
        }
        assert curves == histories(study.folder)
        assert len(wandb_runs(study.folder)) == len(runs) == 2
        assert all(run["artifacts"] == [["package.safetensors"]] for run in runs.values())
        assert {run["exit"] for run in runs.values()} == {0}


@pytest.fixture
def started(study: Ledger) -> Callable[..., list[str]]:
    """Runs the tracker of a start on what Tune would call; what it said."""

    def started(act: Callable[[LiveTracking, Any], None], track: str, to: str) -> list[str]:
        said: list[str] = []
        config = StudyConfig("ours", [], track=track, track_to=to)
        with LiveTracking(config, study.folder, said.append) as tracking:
            act(tracking, SimpleNamespace(config={"trial": "net-m2-one_hot-as_is-sldd-s1e1/10"}))
        return said

    return started


@pytest.mark.parametrize("track", ["tensorboard", "mlflow"])
def test_a_trial_that_is_interrupted_has_one_run_and_each_point_once(started, study, mlflow, tmp_path, track):
    to = {"tensorboard": str(tmp_path / "logs"), "mlflow": mlflow}[track]
    cell, name = study.folder / "trials" / "net-m2-one_hot-as_is-sldd-s1e1", study.described["name"]

    def read() -> dict[str, Any]:
        return in_tensorboard(Path(to)) if track == "tensorboard" else in_mlflow(to, name)

    def begun(tracking: LiveTracking, trial: Any) -> None:
        for _ in range(2):  # its machine is lost, and it goes on elsewhere from before its last report
            tracking.on_trial_start(0, [], trial)
            tracking.on_trial_result(0, [], trial, {"step": 100, "history": HISTORY[:1]})

    def goes_on(tracking: LiveTracking, trial: Any) -> None:
        tracking.on_trial_start(0, [], trial)
        tracking.on_trial_result(0, [], trial, {"step": 200, "history": HISTORY})
        study.end(cell / "10", validation=validation(), history=HISTORY)
        tracking.on_trial_complete(0, [], trial)

    assert started(begun, track, to) == []
    assert read()[f"{cell.name}/10"]["loss"] == [(100, 1.5)]
    count = len(read())
    assert started(goes_on, track, to) == []
    assert read()[f"{cell.name}/10"]["loss"] == [(100, 1.5), (200, 1.25)]
    assert started(lambda *_: None, track, to) == []
    assert len(read()) == count
    if track == "mlflow":
        assert read()[f"{cell.name}/10"]["status"] == "FINISHED"


def test_a_trial_at_a_rung_still_runs(started, study, mlflow):
    cell, name = study.folder / "trials" / "net-m2-one_hot-as_is-sldd-s1e1", study.described["name"]
    said: list[str] = []
    config = StudyConfig("ours", [], track="mlflow", track_to=mlflow)
    trial = SimpleNamespace(config={"trial": f"{cell.name}/10"})
    with LiveTracking(config, study.folder, said.append) as tracking:
        tracking.on_trial_start(0, [], trial)
        tracking.on_trial_result(0, [], trial, {"step": 100, "history": HISTORY[:1]})
        study.end(cell / "10", validation=validation(0.5), history=HISTORY[:1], ended="rung")
        tracking.on_trial_complete(0, [], trial)
    assert in_mlflow(mlflow, name)[f"{cell.name}/10"]["status"] == "FINISHED"  # it stayed behind
    (cell / "10" / "result.json").unlink()

    def taken_up(tracking: LiveTracking, trial: Any) -> None:
        tracking.on_trial_start(0, [], trial)
        tracking.on_trial_result(0, [], trial, {"step": 200, "history": HISTORY})

    assert started(taken_up, "mlflow", mlflow) == said == []
    again = in_mlflow(mlflow, name)[f"{cell.name}/10"]
    assert (again["status"], again["loss"]) == ("RUNNING", [(100, 1.5), (200, 1.25)])


def test_a_tracker_that_fails_says_so_once_and_loses_no_trial(tmp_path, monkeypatch):
    def unreachable(*_: object) -> None:
        raise ConnectionError("no route to host\nat all")

    monkeypatch.setattr("study.export.to_tensorboard.Runs.follow", unreachable)
    study = Here(tmp_path / "out", *SHORT, "track=tensorboard")
    assert study.status == 0
    said = study.log.read_text()
    assert said.count("track: ") == 1
    assert "track: no route to host; no more is sent to tensorboard now: the study is not touched by it" in said
    assert len(histories(study.folder)) == 2
    monkeypatch.undo()
    assert Here(tmp_path / "out", *SHORT, "track=tensorboard").status == 0
    assert {name: run["loss"] for name, run in in_tensorboard(study.folder).items()} == histories(study.folder)


def test_a_tracker_that_hangs_holds_nobody_up(started, tmp_path, monkeypatch):
    threads, answers = [], threading.Event()

    def hang(tracking: LiveTracking) -> Any:
        threads.append(tracking._thread)
        assert answers.wait(60)
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr("study.export.live._LAST_SECONDS", 0.05)
    monkeypatch.setattr(LiveTracking, "_open", hang)
    (line,) = started(lambda *_: None, "tensorboard", str(tmp_path / "logs"))
    assert line.startswith("track: tensorboard does not answer; the study is not touched by it")
    answers.set()
    threads[0].join()


def test_a_store_that_is_another_studys_is_told(started, study, tmp_path):
    assert started(lambda *_: None, "tensorboard", str(tmp_path / "logs")) == []
    study.described["provenance"]["started"] = "2026-11-22T22:30:00+00:00"
    study.save()
    (line,) = started(lambda *_: None, "tensorboard", str(tmp_path / "logs"))
    assert line.startswith("track: the folder holds another study called ours")


@pytest.mark.parametrize(
    ("track", "library"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow"), ("wandb", "wandb")]
)
def test_a_tracker_that_is_not_installed_is_refused_at_the_start(tmp_path, monkeypatch, capsys, track, library):
    monkeypatch.delitem(sys.modules, f"study.export.to_{track}", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    assert main([*TINY, f"track={track}", "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    needs = f"track: {track} needs {library}, which is not installed: pip install 'sldd-study[{track}]'"
    assert line == f"study.run: {needs}"
    assert not (tmp_path / "out").exists()


def test_where_to_without_a_tracker_is_refused(tmp_path, capsys):
    assert main([*TINY, "track_to=logs", "--out", str(tmp_path / "out")]) == 2
    assert "track_to: does nothing without track=" in capsys.readouterr().err


def test_a_tracker_that_will_want_a_key_is_refused_at_the_start(tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(InputError, match=r"^track: wandb: there is no key here"):
        check_tracker(StudyConfig("ours", [], track="wandb"))


def test_other_studies_have_nothing_to_do_with_it(study):
    config = StudyConfig("ours", [])
    with LiveTracking(config, study.folder, pytest.fail) as tracking:
        tracking.on_trial_start(0, [], SimpleNamespace(config={"trial": "net/0"}))
    assert tracking._events.empty()
