"""What may befall a trial on its machine, one by one, without Ray."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.records.records import MEASURED
from ledger import trial_folder
from ledger.ledger import Ledger
from ledger.trial import Trial
from ledger.trial_folder import FolderNotVisibleError, TrialFolder
from sldd.data.cohort import prepare
from sldd.data.settings import open_source
from sldd.training.fresh_start import FreshSettings
from sldd.training.outer_loop import OuterLoop
from study.config.cells import cells
from study.config.loader import load
from study.grid.spec import TrialSpec
from study.search.trial_record import TrialRecord
from study.trial import fresh, worker
from study.trial.context import TrialContext
from study.trial.trial import Report
from study.trial.worker import PreemptedError, run_with_retries
from tests.conftest import OpenLedger
from tests.study.command import TINY

REPORT: Report = {"step": 1, "steps": 2, "seconds": 0.1, "score": 0.5}


@pytest.fixture
def ledger(tmp_path: Path, open_ledger: OpenLedger) -> Ledger:
    return open_ledger(tmp_path / "study")


@pytest.fixture
def context(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> TrialContext:
    config = load("demo", [*TINY[1:], "outer.steps=12", "outer.checkpoint_every=4"])
    source, cache = open_source(config.data), tmp_path_factory.getbasetemp() / "cohorts"
    cohort, pseudonyms = prepare(source, cache), ledger.pseudonyms(source.patient_ids)
    return TrialContext(config, cohort.folder, cohort.fingerprint, pseudonyms, ledger.stop_path)


@pytest.fixture
def begin(ledger: Ledger) -> Callable[[], Trial]:
    """Begins a real trial of the tiny study."""
    (cell, *_) = cells(load("demo", TINY[1:]).grid, None)
    spec = TrialSpec(cell, "search", 0, outer_lr=0.03, inner_lr=0.02, delta=0.5)
    return lambda: ledger.begin(ledger.add(cell.name, spec.to_json()))


def _asked(trial: Trial) -> dict[str, Any]:
    return {"folder": str(trial.folder), "gpus": 0.0, **trial.config}


def _outcome(ledger: Ledger, trial: Trial) -> dict[str, Any]:
    ledger.refresh(trial)
    result = dict(trial.result or {})
    return {name: result[name] for name in sorted(result) if name not in (*MEASURED, "starts")}


def _stub(monkeypatch: pytest.MonkeyPatch, act: Callable[[TrialContext, TrialFolder], None]) -> None:
    def run(spec: TrialSpec, context: TrialContext, folder: TrialFolder, gpus: float) -> Iterator[Report]:
        yield REPORT
        act(context, folder)
        folder.finish({"status": "done", "micro_batch": context.config.compute.micro_batch})

    monkeypatch.setattr(worker, "run_trial", run)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_out_of_memory_halves_the_patches_at_a_time(
    error: Exception,
    ledger: Ledger,
    context: TrialContext,
    begin: Callable[[], Trial],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def need(context: TrialContext, _: TrialFolder) -> None:
        tried.append(context.config.compute.micro_batch)
        if (context.config.compute.micro_batch or context.config.outer.batch_size) > 3:
            raise error

    _stub(monkeypatch, need)
    trial = begin()
    list(run_with_retries(_asked(trial), context))
    assert tried == [None, 6, 3]
    assert _outcome(ledger, trial) == {"status": "done", "micro_batch": 3}


def test_out_of_memory_halves_what_is_scored_at_a_time(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def need(context: TrialContext, _: TrialFolder) -> None:
        if context.config.outer.score_batch > 3:
            raise torch.OutOfMemoryError("CUDA")

    _stub(monkeypatch, need)
    trial = begin()
    list(run_with_retries(_asked(trial), context))
    assert _outcome(ledger, trial)["status"] == "done"


def test_out_of_memory_in_a_fresh_start_is_tried_with_less(
    ledger: Ledger, context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(context.config, evaluate=FreshSettings(starts=2, steps=2))
    spec = TrialSpec(cells(config.grid, None)[0], "confirm", 0, outer_lr=0.03, inner_lr=0.02, source=0)
    trial, scored, score = ledger.begin(ledger.add(spec.cell.name, spec.to_json())), [], OuterLoop.score_network

    def need(loop: OuterLoop, *given: Any) -> Any:
        scored.append(loop.settings.score_batch)
        if loop.settings.score_batch > 3:
            raise torch.OutOfMemoryError("CUDA")
        return score(loop, *given)

    monkeypatch.setattr(OuterLoop, "score_network", need)
    list(run_with_retries(_asked(trial), replace(context, config=config)))
    assert scored == [config.outer.score_batch, 6, *[3] * 4]
    assert ["error" in row for row in _outcome(ledger, trial)["fresh"]] == [False, False]
    assert (trial.result or {})["starts"] == [0, 12], "its steps are taken once"


def test_out_of_memory_with_one_patch_is_an_error(
    context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    _stub(monkeypatch, never)
    with pytest.raises(torch.OutOfMemoryError):
        list(run_with_retries(_asked(begin()), context))


def test_a_trial_is_given_up_after_its_retries(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", "/patients/jane-doe.png")

    _stub(monkeypatch, fail)
    trial = begin()
    for _ in range(context.config.resources.retries):
        with pytest.raises(OSError, match="Input/output error"):
            list(run_with_retries(_asked(trial), context))
        assert _outcome(ledger, trial) == {}
    list(run_with_retries(_asked(trial), context))
    assert _outcome(ledger, trial) == {"status": "failed", "error": "OSError: Input/output error", "attempt": 1}


def test_a_worker_lost_again_and_again_where_it_stands_gives_the_trial_up(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial]
) -> None:
    trial = begin()
    for _ in range(context.config.resources.retries + 1):
        TrialFolder(trial.folder, trial.config["owner"])  # and never heard of again
    list(run_with_retries(_asked(trial), context))
    assert "the worker was lost: its process or machine died, 3 times" in _outcome(ledger, trial)["error"]


def test_a_worker_lost_as_often_as_it_got_ahead_does_not(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    _stub(monkeypatch, lambda *_: None)
    trial = begin()
    for step in range(1, 10):
        TrialFolder(trial.folder, trial.config["owner"]).save_checkpoint(step, {})
    list(run_with_retries(_asked(trial), context))
    assert _outcome(ledger, trial)["status"] == "done"


def test_a_machine_waits_for_the_studys_folder(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 0.0)
    _stub(monkeypatch, lambda *_: None)
    trial = begin()
    mounted = tmp_path / "mounted"
    reports = run_with_retries(
        _asked(trial) | {"folder": str(mounted / trial.folder.relative_to(ledger.folder))}, context
    )
    for _ in range(3):
        assert "does not see the study's folder" in next(reports)["waiting"]
    mounted.symlink_to(ledger.folder)
    assert list(reports) == [REPORT]
    assert _outcome(ledger, trial)["status"] == "done"


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

    asked = _asked(begin())
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert next(run_with_retries(asked, context))["waiting"].endswith("the study's folder (NoCredentialsError)")


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
    list(run_with_retries(_asked(undisturbed), context))
    full = _FullDisk(monkeypatch, 7)
    list(run_with_retries(_asked(trial), context))
    assert full.left == 0
    assert _outcome(ledger, trial) == _outcome(ledger, undisturbed)


def test_a_study_that_stops_does_not_wait_for_room(
    context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(context: TrialContext, _: TrialFolder) -> None:
        context.stop_path.write_bytes(b"")
        _FullDisk(monkeypatch, float("inf"))

    _stub(monkeypatch, stop)
    trial = begin()
    assert list(run_with_retries(_asked(trial), context)) == [REPORT]
    assert not (trial.folder / "result.json").exists()


def test_a_warned_worker_checkpoints_and_its_successor_goes_on_from_there(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, trial = begin(), begin()
    context = replace(
        context, config=replace(context.config, outer=replace(context.config.outer, checkpoint_every=1000))
    )
    list(run_with_retries(_asked(undisturbed), context))
    monkeypatch.setattr("study.trial.trial._STOP_POLL_SECONDS", 0.0)
    worker._warned.set()
    try:
        with pytest.raises(PreemptedError):
            list(run_with_retries(_asked(trial), context))
    finally:
        worker._warned.clear()
    assert [path.name for path in (trial.folder / "checkpoint").iterdir()] == ["000000001.pt"]
    list(run_with_retries(_asked(trial), context))
    assert _outcome(ledger, trial) == _outcome(ledger, undisturbed)
    assert json.loads((trial.folder / "result.json").read_text())["starts"] == [0, 1]


@pytest.mark.parametrize("killed", [False, True])
def test_a_trial_that_is_taken_up_from_its_rung_ends_as_one_that_never_waited(
    killed: bool, ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = begin()
    list(run_with_retries(_asked(whole), context))
    spec = replace(TrialSpec.of(whole), rungs=[6])
    trial = ledger.begin(ledger.add(whole.cell, spec.to_json()))
    if killed:  # with its checkpoint at the rung, and no result yet
        with monkeypatch.context() as patched:
            patched.setattr(TrialFolder, "finish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                list(run_with_retries(_asked(trial), context))
        trial = ledger.begin(trial)
    list(run_with_retries(_asked(trial), context))
    at_rung = _outcome(ledger, trial)
    assert (at_rung["ended"], at_rung["rung"], at_rung["stopped"], at_rung["outer_steps"]) == ("rung", 1, True, 6)
    assert at_rung["test"] is None
    ledger.take_up(trial, TrialRecord.of(trial).rung_scores)
    list(run_with_retries(_asked(ledger.begin(trial)), context))
    assert _outcome(ledger, trial) == _outcome(ledger, whole)
    assert (trial.result or {})["starts"] == [0, 6]
    assert not (trial.folder / "checkpoint").exists()


def test_fresh_starts_are_trained_once_each_though_the_study_stops_between_two(
    ledger: Ledger, context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(context.config, evaluate=FreshSettings(starts=3, steps=2))
    context = replace(context, config=config)
    spec = TrialSpec(cells(config.grid, None)[0], "confirm", 0, outer_lr=0.03, inner_lr=0.02, source=0)
    undisturbed, trial = (ledger.begin(ledger.add(spec.cell.name, spec.to_json())) for _ in range(2))
    list(run_with_retries(_asked(undisturbed), context))
    trained, train = [], fresh.train_fresh

    def stop_after(*given: Any, **named: Any) -> float:
        trained.append(named["seed"])
        if len(trained) == 2:
            context.stop_path.touch()
        return train(*given, **named)

    monkeypatch.setattr(fresh, "train_fresh", stop_after)
    list(run_with_retries(_asked(trial), context))
    assert len(trained) == 2
    assert not (trial.folder / "result.json").exists()
    context.stop_path.unlink()
    list(run_with_retries(_asked(trial), context))
    assert len(set(trained)) == len(trained) == 3
    told = {"inner_graphs": "keep"}  # of a worker that took no step of its own, what it would have done
    assert _outcome(ledger, trial) | told == _outcome(ledger, undisturbed)
    assert not (trial.folder / "checkpoint").exists()
