"""What survives a kill: drivers and workers that die between two lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from study.grid.axes import Cell
from study.planning import shape_check
from study.planning.shape_check import Shapes
from tests.study.command import Command, Forked, Here, Started, Study


@pytest.mark.slow
def test_killed_twice_loses_and_repeats_nothing(undisturbed: Study, tmp_path: Path) -> None:
    """SIGKILL once a first result is there and another trial's checkpoint, and once a confirm trial is under way."""
    finished: dict[Path, bytes] = {}
    resumed: dict[Path, list[int]] = {}

    def confirming(command: Started) -> bool:
        return any(
            json.loads((folder / "config.json").read_text())["phase"] == "confirm" for folder in command.checkpoints()
        )

    def under_way(command: Started) -> bool:
        return bool(command.trials("result.json")) and bool(command.checkpoints())

    starts: list[tuple[Callable[[Path], Started], Callable[[Started], bool]]] = [
        (Command, under_way),
        (Forked, confirming),
    ]
    for start, moment in starts:
        command = start(tmp_path / "out")
        command.until(lambda: moment(command))  # noqa: B023
        command.kill()
        for folder, step in command.checkpoints().items():
            resumed.setdefault(folder, []).append(step)
        for path in command.trials("result.json"):
            finished.setdefault(path, path.read_bytes())
    last = Here(tmp_path / "out")
    assert last.status == 0, last.log.read_text()

    assert finished
    assert resumed
    for path, content in finished.items():
        assert path.read_bytes() == content, "a finished trial ran again"
    for folder, steps in resumed.items():
        starts = json.loads((folder / "result.json").read_text())["starts"]
        assert set(steps) <= set(starts), f"{folder} had checkpoints at {steps} and started at {starts}"
    pd.testing.assert_frame_equal(last.records(), undisturbed.records(), check_exact=True)


@pytest.mark.slow
def test_killed_workers_are_replaced(undisturbed: Study, tmp_path: Path) -> None:
    command = Command(tmp_path / "out")
    command.until(lambda: bool(command.checkpoints()) and bool(command.workers()))
    begun = command.checkpoints()  # a worker that is only starting up may live on, and get that far meanwhile
    for worker in command.workers():
        worker.kill()
    left = {folder: step for folder, step in command.checkpoints().items() if folder in begun}
    assert left
    assert command.wait() == 0, command.log.read_text()
    for folder, step in left.items():
        assert step in json.loads((folder / "result.json").read_text())["starts"]
    pd.testing.assert_frame_equal(command.records(), undisturbed.records(), check_exact=True)


@pytest.mark.slow
def test_a_kill_does_not_change_which_trials_are_stopped(tmp_path: Path) -> None:
    settings = (
        "grid.images=3",
        "search={trials: 7, pruner: median, stop_after: 0.2}",
        "outer={steps: 16, batch_size: 6, evaluations: 8, statistics_batches: 1, checkpoint_every: 1}",
        "outer.checkpoint_share=null",
    )
    whole = Here(tmp_path / "whole", *settings)
    assert whole.status == 0, whole.log.read_text()
    records = whole.records()
    stopped = records[records["stopped"]]
    assert set(stopped["phase"]) == {"search"}
    assert set(stopped["status"]) == {"done"}
    assert (stopped["outer_steps"] < 16).all()
    assert (records.loc[~records["stopped"], "outer_steps"] == 16).all()
    said = f"{len(stopped)} of 7 search trials did worse than others and were stopped early"
    assert said in " ".join(whole.log.read_text().split())

    later = [str(trial) for trial in stopped["trial"]]
    command = Forked(tmp_path / "out", *settings)
    command.until(lambda: any(command.folder / "trials" / trial in command.checkpoints() for trial in later))
    command.kill()
    last = Here(tmp_path / "out", *settings)
    assert last.status == 0, last.log.read_text()
    pd.testing.assert_frame_equal(last.records(), records, check_exact=True)


def test_trials_that_stay_at_a_rung_are_kept_there_until_a_larger_search_wants_them(tmp_path: Path) -> None:
    settings = ["grid.images=3", "search={trials: 3, pruner: halving, rungs: [0.5]}"]
    study = Here(tmp_path / "out", *settings)
    assert study.status == 0, study.log.read_text()
    records = study.records()
    assert records["ended"].tolist().count("rung") == 1
    assert sorted(records["outer_steps"]) == [10, 20, 20, 20]
    waiting = study.folder / "trials" / str(records.loc[records["ended"] == "rung", "trial"].item())
    assert (waiting / "checkpoint" / "000000010.pt").exists()
    again = Here(tmp_path / "out", *settings, "search.trials=5")
    assert again.status == 0, again.log.read_text()
    results = [json.loads(path.read_text()) for path in again.trials("result.json")]
    assert sorted(result["outer_steps"] for result in results)[:3] == [10, 10, 20]
    assert all(
        result["starts"] == [0, 10] for result in results if result["outer_steps"] == 20 and result["test"] is None
    )
    refused = Here(tmp_path / "other", *settings, "search.rungs=[20]")
    assert refused.status == 2
    assert "search.rungs: 20 has no evaluation before the last of 20 steps" in refused.log.read_text()


def test_a_network_that_was_planned_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it can be distilled is known, and what a trial takes stands in study.yaml; a new one is measured."""
    check, checked = shape_check._check, list[int | None]()
    settings = ("grid.images=3", "search.trials=0")
    first = Here(tmp_path / "out", *settings)
    assert first.status == 0, first.log.read_text()
    asked: list[int | None] = []

    def refuse(cell: Cell, *_: object) -> str:
        asked.append(cell.images)
        return "not today"

    def watched(cell: Cell, *rest: Any) -> Shapes:
        checked.append(cell.images)
        return check(cell, *rest)

    monkeypatch.setattr("study.planning.step_time.time_step", refuse)
    monkeypatch.setattr(shape_check, "_check", watched)
    again = Here(tmp_path / "out", "grid.images=[3,4]", "search.trials=0", "confirm.repeats=2")
    assert again.status == 0, again.log.read_text()
    assert asked == checked == [4]
    records = again.records()
    assert records.loc[records["images"].eq(3), "status"].tolist() == ["done", "done"]
    assert records.loc[records["images"].eq(4), "error"].tolist() == ["not today"]
    cells = yaml.safe_load((again.folder / "study.yaml").read_text())["cells"]
    assert [cell.get("expected_seconds", 0) > 0 for cell in cells] == [True, False]
    third = Here(tmp_path / "out", "grid.images=[3,4]", "search.trials=0", "confirm.repeats=2")
    assert third.status == 0
    assert asked == [4, 4], "what was refused may run by now"


@pytest.mark.slow
def test_a_driver_killed_at_a_rung_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """SIGKILL once all trials wait at the rung, and once one has gone on from there."""
    settings = ["grid.images=3", "search={trials: 3, pruner: halving, rungs: [0.5]}"]
    whole = Here(tmp_path / "whole", *settings)
    assert whole.status == 0, whole.log.read_text()

    def waiting(study: Study) -> list[Path]:
        return [path for path in study.trials("result.json") if json.loads(path.read_text()).get("rung")]

    def taken_up(study: Study) -> list[Path]:
        found = [json.loads(path.read_text()) for path in study.trials("config.json")]
        return [study.folder / "trials" / config["trial"] for config in found if config["taken_up"]]

    moments: list[Callable[[Forked], bool]] = [
        lambda command: len(waiting(command)) >= 2,
        lambda command: bool(taken_up(command)),
    ]
    for moment in moments:
        command = Forked(tmp_path / "out", *settings)
        command.until(lambda: moment(command))  # noqa: B023
        command.kill()
    last = Here(tmp_path / "out", *settings)
    assert last.status == 0, last.log.read_text()
    for folder in taken_up(last):
        assert 10 in json.loads((folder / "result.json").read_text())["starts"], "it went on from its rung"
    pd.testing.assert_frame_equal(last.records(), whole.records(), check_exact=True)
