"""Real trials of a tiny study, run by their worker without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.records.records import MEASURED
from ledger.ledger import Ledger
from ledger.trial import Trial
from ledger.trial_folder import TrialFolder
from sldd.data.cohort import prepare
from sldd.data.settings import open_source
from study.config.cells import cells
from study.config.loader import load
from study.grid.spec import TrialSpec
from study.trial import worker
from study.trial.context import TrialContext
from study.trial.trial import Report
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


def asked(trial: Trial) -> dict[str, Any]:
    """The trial as Ray passes it on."""
    return {"folder": str(trial.folder), "gpus": 0.0, **trial.config}


def outcome(ledger: Ledger, trial: Trial) -> dict[str, Any]:
    """Its result, but for what it took and where it began."""
    ledger.refresh(trial)
    result = dict(trial.result or {})
    return {name: result[name] for name in sorted(result) if name not in (*MEASURED, "starts")}


def stub(monkeypatch: pytest.MonkeyPatch, act: Callable[[TrialContext, TrialFolder], None]) -> None:
    """Trials report once and ``act`` instead of taking steps."""

    def run(spec: TrialSpec, context: TrialContext, folder: TrialFolder, gpus: float) -> Iterator[Report]:
        yield REPORT
        act(context, folder)
        folder.finish({"status": "done", "micro_batch": context.config.compute.micro_batch})

    monkeypatch.setattr(worker, "run_trial", run)
