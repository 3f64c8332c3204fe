"""A study on Ray, on machines that do not see its folder."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sldd.data.cohort import prepare
from sldd.data.settings import open_source
from study.cluster.ray_cluster import Slots, connect
from study.config.cells import cells
from study.config.loader import load
from study.engine.ray_run import run_trials
from study.engine.study_run import StudyRun
from study.planning.plan import PlannedCell
from study.trial import worker
from study.trial.context import TrialContext
from tests.conftest import OpenLedger
from tests.study.command import TINY

worker._LOOK_SECONDS = 0.2  # here and, since Ray imports the class below from this module, in workers
CONFIG = load("demo", [*TINY[1:], "grid.images=3", "outer.steps=8", "outer.checkpoint_every=4"])
TRIALS = 2 + 1


class Elsewhere(worker.Worker):
    """Has the study's folder mounted under another name, if at all."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        folder = new_config["folder"].replace("/study/trials/", "/mounted/trials/")
        return super().reset_config({**new_config, "folder": folder})


@pytest.fixture(scope="module")
def slots() -> Iterator[Slots]:
    with connect(None, CONFIG.resources) as (_, slots):
        yield slots


@pytest.mark.slow
def test_blind_machines_lose_no_trial_and_can_be_stopped(slots: Slots, tmp_path: Path, open_ledger: OpenLedger) -> None:
    study, mounted = tmp_path / "study", tmp_path / "mounted"
    plan = [PlannedCell(cell, 372_691, None, 1.0) for cell in cells(CONFIG.grid, None)]
    source = open_source(CONFIG.data)
    cohort = prepare(source, tmp_path / "cohorts")

    def start(act: Any) -> tuple[int, list[str], str]:
        """Run the study, and ``act`` once it has said that a machine does not see it."""
        ledger, said = open_ledger(study), io.StringIO()

        def watch() -> None:
            while "does not see the study's folder: its trials wait" not in said.getvalue():
                time.sleep(0.1)
            act()

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        context = TrialContext(
            CONFIG, cohort.folder, cohort.fingerprint, ledger.pseudonyms(source.patient_ids), ledger.stop_path
        )
        received = run_trials(StudyRun(CONFIG, ledger, plan, slots, context, Console(file=said)), Elsewhere)
        watching.join()
        return received, [trial.status for group in ledger.trials.values() for trial in group], said.getvalue()

    received, states, _ = start(lambda: os.kill(os.getpid(), signal.SIGINT))
    assert received == signal.SIGINT
    assert "failed" not in states
    assert "done" not in states

    received, states, said = start(lambda: mounted.symlink_to(study))
    assert received == 0
    assert states == ["done"] * TRIALS
    assert said.count("does not see") == 1, "a machine is told of once"
