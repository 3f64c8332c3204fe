"""What a trial costs where others have made what it uses."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from ledger.ledger import Ledger
from sldd.distillation.alternatives import experts
from study.config.cells import cells
from study.config.loader import load
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext
from study.trial.worker import run_with_retries
from tests.study.command import TINY
from tests.study.trial.conftest import asked

MTT = "match={experts: {count: 2, snapshots: 3, every: 2, latest: 2, span: 2, student_epochs: 2, batch_size: 6}}"
EACH = 1000.0
"""Core seconds of an expert, by the clock of the test."""


def test_experts_cost_every_trial_as_much_once_whoever_made_them_and_whatever_is_interrupted(
    ledger: Ledger, context: TrialContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where nobody has made any
    config = load("demo", [*TINY[1:], "grid.method=mtt", MTT, "outer.steps=6", "outer.checkpoint_every=1"])
    context = replace(context, config=config)
    monkeypatch.setattr(experts, "process_time", count(0.0, EACH).__next__)
    spec = TrialSpec(cells(config.grid)[0], "search", 0, outer_lr=0.03, inner_lr=0.02, delta=0.5)
    first, second, stopped = (ledger.begin(ledger.add(spec.cell.name, spec.to_json())) for _ in range(3))
    for trial in (first, second):
        list(run_with_retries(asked(trial), context))
    monkeypatch.setattr("study.trial.trial._STOP_POLL_SECONDS", 0.0)
    for _ in range(3):
        context.stop_path.touch()
        list(run_with_retries(asked(stopped), context))
        context.stop_path.unlink()
    list(run_with_retries(asked(stopped), context))
    cost = []
    for trial in (first, second, stopped):
        ledger.refresh(trial)
        assert trial.result is not None
        cost.append(trial.result["core_seconds"])
    assert len(stopped.result["starts"]) == 4  # type: ignore[index]
    assert 0 < cost[0] < EACH / 2, "its own are in its own seconds, by the clock of the process"
    assert all(0 < seconds - 2 * EACH < EACH / 2 for seconds in cost[1:])
