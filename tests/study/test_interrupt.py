"""What ends a start of a study in good order: a signal, a warning, a budget that is used up."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from analysis.records.records import read_study
from tests.study.command import Command, Here, Study


@pytest.mark.slow
def test_a_budget_ends_the_command_and_a_larger_one_goes_on(undisturbed: Study, tmp_path: Path) -> None:
    command = Here(tmp_path / "out", "budget.hours=1e-3", ray=True, page=True)  # 3.6 seconds: trials have begun
    assert command.status == 0, command.log.read_text()
    log = command.log.read_text()
    assert "stopping, budget.hours=0.001 is used up: running trials are writing their checkpoints" in log
    assert log.splitlines()[-1].startswith("budget.hours=0.001 is used up, and the study has trials left")
    assert (command.folder / "dashboard.html").exists()
    assert len(command.records()) == len(command.checkpoints()) > 0
    left = command.checkpoints()

    command = Here(tmp_path / "out", "budget.trials=3")
    assert command.status == 0, command.log.read_text()
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
def test_a_warned_worker_writes_a_checkpoint(tmp_path: Path) -> None:
    command = Command(
        tmp_path / "out",
        "grid.images=2",
        "search.trials=1",
        "outer={steps: 100, batch_size: 12, evaluations: 1, statistics_batches: 1, checkpoint_every: 50}",
        "outer.checkpoint_share=null",
    )
    command.until(lambda: bool(command.checkpoints()))
    (worker,) = command.workers()
    worker.terminate()  # as before a spot machine is taken away
    assert command.wait() == 0, command.log.read_text()
    first, *_ = command.trials("result.json")
    begun, went_on = json.loads(first.read_text())["starts"]
    assert begun == 0
    assert 50 < went_on < 100, "it wrote one of its own"
    assert "lost its worker, or failed; it goes on from its last checkpoint" in command.log.read_text()


@pytest.mark.slow
def test_interrupt_then_resume_then_grow(undisturbed: Study, tmp_path: Path) -> None:
    command = Command(tmp_path / "out")
    command.until(lambda: bool(command.checkpoints()))
    os.kill(command.process.pid, signal.SIGINT)
    assert command.wait() == 130, command.log.read_text()
    assert "the same command goes on" in command.log.read_text()
    assert (command.folder / "dashboard.html").exists()
    assert not read_study(command.folder).provenance.get("finished")
    left = command.checkpoints()
    assert left

    resumed = Here(tmp_path / "out")
    assert resumed.status == 0, resumed.log.read_text()
    assert read_study(resumed.folder).provenance["finished"]
    for folder, step in left.items():
        assert step in json.loads((folder / "result.json").read_text())["starts"]
    pd.testing.assert_frame_equal(resumed.records(), undisturbed.records(), check_exact=True)

    kept = {path: path.read_bytes() for path in resumed.trials("result.json")}
    grown = Here(tmp_path / "out", "confirm.repeats=2")
    assert grown.status == 0, grown.log.read_text()
    assert len(grown.trials("result.json")) == 8
    assert all(path.read_bytes() == content for path, content in kept.items())

    other = Here(tmp_path / "out", "confirm.repeats=2", "outer.schedule=constant", "seed=3")
    assert other.status == 2
    assert "outer.schedule was 'cosine' and is now 'constant'; seed was 0 and is now 3" in other.log.read_text()
