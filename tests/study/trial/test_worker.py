"""What may befall a trial on its machine, one by one, without Ray."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import trial_folder
from ledger.ledger import Ledger
from ledger.trial import Trial
from ledger.trial_folder import FolderNotVisibleError, TrialFolder
from sldd.training.fresh_start import FreshSettings
from study.config.cells import cells
from study.grid.spec import TrialSpec
from study.search.trial_record import TrialRecord
from study.trial import fresh, worker
from study.trial.context import TrialContext
from study.trial.worker import PreemptedError, run_with_retries
from tests.study.trial.conftest import REPORT, asked, outcome, stub


def test_a_trial_is_given_up_after_its_retries(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", "/patients/jane-doe.png")

    stub(monkeypatch, fail)
    trial = begin()
    for _ in range(context.config.resources.retries):
        with pytest.raises(OSError, match="Input/output error"):
            list(run_with_retries(asked(trial), context))
        assert outcome(ledger, trial) == {}
    list(run_with_retries(asked(trial), context))
    assert outcome(ledger, trial) == {"status": "failed", "error": "OSError: Input/output error", "attempt": 1}


def test_a_worker_lost_again_and_again_where_it_stands_gives_the_trial_up(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial]
) -> None:
    trial = begin()
    for _ in range(context.config.resources.retries + 1):
        TrialFolder(trial.folder, trial.config["owner"])  # and never heard of again
    list(run_with_retries(asked(trial), context))
    assert "the worker was lost: its process or machine died, 3 times" in outcome(ledger, trial)["error"]


def test_a_worker_lost_as_often_as_it_got_ahead_does_not(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, lambda *_: None)
    trial = begin()
    for step in range(1, 10):
        TrialFolder(trial.folder, trial.config["owner"]).save_checkpoint(step, {})
    list(run_with_retries(asked(trial), context))
    assert outcome(ledger, trial)["status"] == "done"


def test_a_machine_waits_for_the_studys_folder(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 0.0)
    stub(monkeypatch, lambda *_: None)
    trial = begin()
    mounted = tmp_path / "mounted"
    reports = run_with_retries(
        asked(trial) | {"folder": str(mounted / trial.folder.relative_to(ledger.folder))}, context
    )
    for _ in range(3):
        assert "does not see the study's folder" in next(reports)["waiting"]
    mounted.symlink_to(ledger.folder)
    assert list(reports) == [REPORT]
    assert outcome(ledger, trial)["status"] == "done"


def test_a_machine_that_never_sees_it_hands_the_trial_back(
    context: TrialContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker, "_WAITING_SECONDS", -1.0)
    with pytest.raises(FolderNotVisibleError):
        list(run_with_retries({"folder": str(tmp_path / "elsewhere"), "owner": "token"}, context))


def test_an_object_store_that_lets_nobody_in_is_not_seen(
    context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoCredentialsError(Exception):
        pass

    def refuse(_: Path) -> None:
        raise NoCredentialsError("key of Jane Doe")

    config = asked(begin())
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert next(run_with_retries(config, context))["waiting"].endswith("the study's folder (NoCredentialsError)")


class _FullDisk:
    """Every write finds the disk full, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: float) -> None:
        self.left, self._write, self._create = times, trial_folder.write_whole, trial_folder.create_whole
        monkeypatch.setattr(trial_folder, "write_whole", lambda *given: self._meet(self._write, *given))
        monkeypatch.setattr(trial_folder, "create_whole", lambda *given: self._meet(self._create, *given))
        monkeypatch.setattr(trial_folder, "_ROOM_POLL_SECONDS", 0.0)

    def _meet(self, write: Callable[..., Any], *given: Any) -> Any:
        if self.left:
            self.left -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*given)


def test_a_full_disk_is_waited_out_and_changes_no_result(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, trial = begin(), begin()
    list(run_with_retries(asked(undisturbed), context))
    full = _FullDisk(monkeypatch, 7)
    list(run_with_retries(asked(trial), context))
    assert full.left == 0
    assert outcome(ledger, trial) == outcome(ledger, undisturbed)


def test_a_study_that_stops_does_not_wait_for_room(
    context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(context: TrialContext, _: TrialFolder) -> None:
        context.stop_path.write_bytes(b"")
        _FullDisk(monkeypatch, float("inf"))

    stub(monkeypatch, stop)
    trial = begin()
    assert list(run_with_retries(asked(trial), context)) == [REPORT]
    assert not (trial.folder / "result.json").exists()


def test_a_warned_worker_checkpoints_and_its_successor_goes_on_from_there(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, trial = begin(), begin()
    context = replace(
        context, config=replace(context.config, outer=replace(context.config.outer, checkpoint_every=1000))
    )
    list(run_with_retries(asked(undisturbed), context))
    monkeypatch.setattr("study.trial.trial._STOP_POLL_SECONDS", 0.0)
    worker._warned.set()
    try:
        with pytest.raises(PreemptedError):
            list(run_with_retries(asked(trial), context))
    finally:
        worker._warned.clear()
    assert [path.name for path in (trial.folder / "checkpoint").iterdir()] == ["000000001.pt"]
    list(run_with_retries(asked(trial), context))
    assert outcome(ledger, trial) == outcome(ledger, undisturbed)
    assert json.loads((trial.folder / "result.json").read_text())["starts"] == [0, 1]


@pytest.mark.parametrize("killed", [False, True])
def test_a_trial_that_is_taken_up_from_its_rung_ends_as_one_that_never_waited(
    killed: bool, ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = begin()
    list(run_with_retries(asked(whole), context))
    spec = replace(TrialSpec.of(whole), rungs=[6])
    trial = ledger.begin(ledger.add(whole.cell, spec.to_json()))
    if killed:  # with its checkpoint at the rung, and no result yet
        with monkeypatch.context() as patched:
            patched.setattr(TrialFolder, "finish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                list(run_with_retries(asked(trial), context))
        trial = ledger.begin(trial)
    list(run_with_retries(asked(trial), context))
    at_rung = outcome(ledger, trial)
    assert (at_rung["ended"], at_rung["rung"], at_rung["stopped"], at_rung["outer_steps"]) == ("rung", 1, True, 6)
    assert at_rung["test"] is None
    ledger.take_up(trial, TrialRecord.of(trial).rung_scores)
    list(run_with_retries(asked(ledger.begin(trial)), context))
    assert outcome(ledger, trial) == outcome(ledger, whole)
    assert (trial.result or {})["starts"] == [0, 6]
    assert not (trial.folder / "checkpoint").exists()


def test_fresh_starts_are_trained_once_each_though_the_study_stops_between_two(
    ledger: Ledger, context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(context.config, evaluate=FreshSettings(starts=3, steps=2))
    context = replace(context, config=config)
    spec = TrialSpec(cells(config.grid, None)[0], "confirm", 0, outer_lr=0.03, inner_lr=0.02, source=0)
    undisturbed, trial = (ledger.begin(ledger.add(spec.cell.name, spec.to_json())) for _ in range(2))
    list(run_with_retries(asked(undisturbed), context))
    trained, train = [], fresh.train_fresh

    def stop_after(*given: Any, **named: Any) -> float:
        trained.append(named["seed"])
        if len(trained) == 2:
            context.stop_path.touch()
        return train(*given, **named)

    monkeypatch.setattr(fresh, "train_fresh", stop_after)
    list(run_with_retries(asked(trial), context))
    assert len(trained) == 2
    assert not (trial.folder / "result.json").exists()
    context.stop_path.unlink()
    list(run_with_retries(asked(trial), context))
    assert len(set(trained)) == len(trained) == 3
    told = {"inner_graphs": "keep"}  # of a worker that took no step of its own, what it would have done
    assert outcome(ledger, trial) | told == outcome(ledger, undisturbed)
    assert not (trial.folder / "checkpoint").exists()
