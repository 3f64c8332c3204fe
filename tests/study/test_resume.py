"""What survives: drivers and workers that are killed or warned, interrupts, a budget that is used up."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.study.command import Command


@pytest.mark.slow
def test_a_budget_ends_the_command_and_a_larger_one_goes_on(undisturbed: Command, tmp_path: Path) -> None:
    command = Command(tmp_path / "out", "budget.hours=1e-3")  # 3.6 seconds: trials have begun
    assert command.wait() == 0, command.log.read_text()
    log = command.log.read_text()
    assert "stopping, budget.hours=0.001 is used up: running trials are writing their checkpoints" in log
    assert log.splitlines()[-1].startswith("budget.hours=0.001 is used up, and the study has trials left")
    assert (command.study / "dashboard.html").exists()
    assert len(command.records()) == len(command.checkpoints()) > 0
    left = command.checkpoints()

    command = Command(tmp_path / "out", "budget.trials=3")
    assert command.wait() == 0, command.log.read_text()
    assert command.log.read_text().splitlines()[-1].startswith("budget.trials=3 is used up")
    assert set(command.records()["status"]) == {"done"}
    assert len(command.records()) == 3
    for folder, step in left.items():
        assert step in json.loads((folder / "result.json").read_text())["starts"]

    whole = undisturbed.records()
    pd.testing.assert_frame_equal(
        command.records(),
        whole[whole["trial"].isin(command.records()["trial"])].reset_index(drop=True),
        check_exact=True,
    )


@pytest.mark.slow
def test_killed_twice_loses_and_repeats_nothing(undisturbed: Command, tmp_path: Path) -> None:
    """SIGKILL once a first result is there and another trial's checkpoint, and once a confirm trial is under way."""
    finished: dict[Path, bytes] = {}
    resumed: dict[Path, list[int]] = {}

    def confirming(command: Command) -> bool:
        return any(
            json.loads((folder / "config.json").read_text())["phase"] == "confirm" for folder in command.checkpoints()
        )

    moments: list[Callable[[Command], bool]] = [
        lambda command: bool(command.trials("result.json")) and bool(command.checkpoints()),
        confirming,
    ]
    for moment in moments:
        command = Command(tmp_path / "out")
        command.until(lambda: moment(command))  # noqa: B023
        command.kill()
        for folder, step in command.checkpoints().items():
            resumed.setdefault(folder, []).append(step)
        for path in command.trials("result.json"):
            finished.setdefault(path, path.read_bytes())
    command = Command(tmp_path / "out")
    assert command.wait() == 0, command.log.read_text()

    assert finished
    assert resumed
    for path, content in finished.items():
        assert path.read_bytes() == content, "a finished trial ran again"
    for folder, steps in resumed.items():
        starts = json.loads((folder / "result.json").read_text())["starts"]
        assert set(steps) <= set(starts), f"{folder} had checkpoints at {steps} and started at {starts}"
    pd.testing.assert_frame_equal(command.records(), undisturbed.records(), check_exact=True)


@pytest.mark.slow
def test_killed_workers_are_replaced(undisturbed: Command, tmp_path: Path) -> None:
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
        "search={trials: 7, stop: median, stop_after: 0.2}",
        "outer={steps: 16, batch_size: 6, evaluations: 8, statistics_batches: 1, checkpoint_every: 1}",
    )
    whole = Command(tmp_path / "whole", *settings)
    assert whole.wait() == 0, whole.log.read_text()
    records = whole.records()
    stopped = records[records["stopped"]]
    assert set(stopped["phase"]) == {"search"}
    assert set(stopped["status"]) == {"done"}
    assert (stopped["outer_steps"] < 16).all()
    assert (records.loc[~records["stopped"], "outer_steps"] == 16).all()
    said = f"{len(stopped)} of 7 search trials did worse than the median and were stopped"
    assert said in " ".join(whole.log.read_text().split())

    later = [str(trial) for trial in stopped["trial"]]
    command = Command(tmp_path / "out", *settings)
    command.until(lambda: any(command.study / "trials" / trial in command.checkpoints() for trial in later))
    command.kill()
    command = Command(tmp_path / "out", *settings)
    assert command.wait() == 0, command.log.read_text()
    pd.testing.assert_frame_equal(command.records(), records, check_exact=True)


@pytest.mark.slow
def test_a_warned_worker_writes_a_checkpoint(tmp_path: Path) -> None:
    command = Command(
        tmp_path / "out",
        "grid.images=2",
        "search.trials=1",
        "outer={steps: 200, batch_size: 12, evaluations: 1, statistics_batches: 1, checkpoint_every: 100}",
    )
    command.until(lambda: bool(command.checkpoints()))
    (worker,) = command.workers()
    worker.terminate()  # as before a spot machine is taken away
    assert command.wait() == 0, command.log.read_text()
    first, *_ = command.trials("result.json")
    begun, went_on = json.loads(first.read_text())["starts"]
    assert begun == 0
    assert 100 < went_on < 200, "it wrote one of its own"
    assert "lost its worker, or failed; it goes on from its last checkpoint" in command.log.read_text()


@pytest.mark.slow
def test_interrupt_then_resume_then_grow(undisturbed: Command, tmp_path: Path) -> None:
    command = Command(tmp_path / "out")
    command.until(lambda: bool(command.checkpoints()))
    os.kill(command.process.pid, signal.SIGINT)
    assert command.wait() == 130, command.log.read_text()
    assert "the same command goes on" in command.log.read_text()
    assert (command.study / "dashboard.html").exists()
    left = command.checkpoints()
    assert left

    command = Command(tmp_path / "out")
    assert command.wait() == 0, command.log.read_text()
    for folder, step in left.items():
        assert step in json.loads((folder / "result.json").read_text())["starts"]
    pd.testing.assert_frame_equal(command.records(), undisturbed.records(), check_exact=True)

    kept = {path: path.read_bytes() for path in command.trials("result.json")}
    grown = Command(tmp_path / "out", "confirm.repeats=2")
    assert grown.wait() == 0, grown.log.read_text()
    assert len(grown.trials("result.json")) == 8
    assert all(path.read_bytes() == content for path, content in kept.items())

    other = Command(tmp_path / "out", "confirm.repeats=2", "outer.schedule=constant", "seed=3")
    assert other.wait() == 2
    assert "outer.schedule was 'cosine' and is now 'constant'; seed was 0 and is now 3" in other.log.read_text()
