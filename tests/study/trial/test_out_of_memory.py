"""Out of memory, a trial goes on by recomputing, then with fewer patches at a time, down to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ledger.ledger import Ledger
from ledger.trial import Trial
from ledger.trial_folder import TrialFolder
from sldd.training.fresh_start import FreshSettings
from sldd.training.outer_loop import OuterLoop
from study.config.cells import cells
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext
from study.trial.worker import run_with_retries
from tests.study.trial.conftest import asked, outcome, stub


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
)
def test_out_of_memory_recomputes_and_then_halves_the_patches_at_a_time(
    error: Exception,
    ledger: Ledger,
    context: TrialContext,
    begin: Callable[[], Trial],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def need(context: TrialContext, _: TrialFolder) -> None:
        tried.append((context.config.compute.memory, context.config.compute.micro_batch))
        if (context.config.compute.micro_batch or context.config.outer.batch_size) > 3:
            raise error

    stub(monkeypatch, need)
    trial = begin()
    list(run_with_retries(asked(trial), context))
    assert tried == [("auto", None), ("recompute", None), ("recompute", 6), ("recompute", 3)]
    assert outcome(ledger, trial) == {"status": "done", "micro_batch": 3}


def test_out_of_memory_halves_what_is_scored_at_a_time(
    ledger: Ledger, context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def need(context: TrialContext, _: TrialFolder) -> None:
        if context.config.outer.score_batch > 3:
            raise torch.OutOfMemoryError("CUDA")

    stub(monkeypatch, need)
    trial = begin()
    list(run_with_retries(asked(trial), context))
    assert outcome(ledger, trial)["status"] == "done"


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
    list(run_with_retries(asked(trial), replace(context, config=config)))
    assert scored == [*[config.outer.score_batch] * 2, 6, *[3] * 4]
    assert ["error" in row for row in outcome(ledger, trial)["fresh"]] == [False, False]
    assert (trial.result or {})["starts"] == [0, 12], "its steps are taken once"


def test_out_of_memory_with_one_patch_is_an_error(
    context: TrialContext, begin: Callable[[], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    stub(monkeypatch, never)
    with pytest.raises(torch.OutOfMemoryError):
        list(run_with_retries(asked(begin()), context))
