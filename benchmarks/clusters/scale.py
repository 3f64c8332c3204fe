"""Benchmark a driver of thousands of trials: python -m benchmarks.clusters.scale 100 1000 10000

Everything of a study runs but the distillation: a stub of a worker writes a result of a real one's size at once. Each
study has ten trials a cell, seven of them searched by Optuna. Measured are the driver's wall time a trial (Ray's start
left out), the time and the growth of its suggestions, its memory, and how long a new driver reads the finished ledger.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
from rich.console import Console

from ledger.ledger import FORMAT, Ledger
from ledger.trial_folder import TrialFolder
from sldd.metrics.patient_evaluator import PatientScores
from sldd.metrics.patient_votes import Votes
from study.cluster.ray_cluster import connect
from study.config.cells import cells
from study.config.loader import load
from study.config.schema import StudyConfig
from study.engine.ray_run import run_trials
from study.engine.study_run import StudyRun
from study.planning.plan import PlannedCell
from study.search.tune_searcher import StudySearcher
from study.trial.context import TrialContext
from study.trial.worker import Worker

_A_CELL = 10  # trials
_PATIENTS = 100
_TARGETS = "targets: 0.15 s a trial, 5 s to read 10,000 trials, 50 ms a suggestion"


class StubWorker(Worker):
    """Finishes a trial at once, with patients' votes the clearer, the nearer its rate is to the best."""

    def setup(self, config: dict[str, Any], context: TrialContext) -> None:
        """Called by Tune for the first trial of a process."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called by Tune for every later one."""
        self._asked = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Write the result."""
        TrialFolder(Path(self._asked["folder"]), self._asked["owner"]).finish(_result(self._asked))
        return {"step": 1, "steps": 1, "seconds": 1.0, "score": 0.5, "done": True}


def _result(asked: dict[str, Any]) -> dict[str, Any]:
    """A result of a real one's size; the best outer rate is 10 ** -1.5."""
    skill = 1 / (1 + abs(np.log10(asked["outer_lr"]) + 1.5))
    labels = np.arange(_PATIENTS) % 2
    positive = 50 + skill * (40 * labels - 20) + np.random.default_rng(asked["seed"]).normal(0, 10, _PATIENTS)
    counts = np.stack([np.full(_PATIENTS, 99), 100 - positive, positive], axis=1).round().astype(np.int64)
    votes = Votes(list(range(_PATIENTS)), labels, counts, np.eye(3, dtype=np.int64))
    seen = PatientScores(votes, None).describe([f"P-{patient:010}" for patient in range(_PATIENTS)], 0.5)
    return {
        "status": "done", "error": None, "attempt": 1, "delta": 0.5, "seconds": 1.0, "starts": [0],
        "validation": seen, "test": seen if asked["phase"] == "confirm" else None, "outer_steps": 1,
        "history": [{"step": step, "val_hm": seen["hm"]} for step in range(10)],
    }  # fmt: skip


def _study(trials: int) -> tuple[StudyConfig, list[PlannedCell]]:
    """Configuration and plan of a study of so many trials: one network, at as many image counts as it takes."""
    counts = ",".join(map(str, range(1, trials // _A_CELL + 1)))
    settings = ["grid.backbone=[test_resnet]", f"grid.images=[{counts}]", "grid.method=sldd"]
    config = load("demo", ["name=scale", *settings, "search.trials=7", "confirm.repeats=3"])
    return config, [PlannedCell(cell, 372_691, None, 1.0) for cell in cells(config.grid, None)]


def _drive(trials: int, folder: Path) -> dict[str, float]:
    """Run a study of stubs; seconds a trial and a suggestion, and the driver's memory."""
    config, plan = _study(trials)
    ledger = Ledger(folder)
    ledger.hold()
    ledger.start({"format": FORMAT, "name": "scale", "config": {}, "provenance": {}})
    try:
        with _timed_suggestions() as taken, connect(None, config.resources) as (_, slots):
            memory = psutil.Process().memory_info().rss
            run = StudyRun(config, ledger, plan, slots, None, Console(file=io.StringIO()))  # type: ignore[arg-type]
            begun = time.perf_counter()
            run_trials(run, StubWorker)
            wall = time.perf_counter() - begun
            memory = psutil.Process().memory_info().rss - memory
    finally:
        ledger.close()
    done = sum(trial.status == "done" for group in ledger.trials.values() for trial in group)
    if done != trials:
        raise RuntimeError(f"{done} of {trials} trials are done")
    tenth = max(1, len(taken) // 10)
    return {
        "seconds a trial": wall / trials,
        "ms a suggestion": 1000 * float(np.mean(taken)),
        "ms, the last tenth": 1000 * float(np.mean(taken[-tenth:])),
        "MiB more": memory / 2**20,
    }


@contextmanager
def _timed_suggestions() -> Iterator[list[float]]:
    """Context in which suggestions are timed: a list that grows by each one's seconds. Answers that are no suggestion
    (there is none now, or none is left) do not count."""
    taken: list[float] = []
    suggest = StudySearcher.suggest

    def timed(self: StudySearcher, trial_id: str) -> Any:
        begun = time.perf_counter()
        answer = suggest(self, trial_id)
        if isinstance(answer, dict):
            taken.append(time.perf_counter() - begun)
        return answer

    with patch.object(StudySearcher, "suggest", timed):
        yield taken


def _read(folder: Path) -> float:
    """Seconds in which a new driver reads the finished ledger."""
    ledger = Ledger(folder)
    ledger.hold()
    begun = time.perf_counter()
    ledger.start({"format": FORMAT, "name": "scale", "config": {}, "provenance": {}})
    seconds = time.perf_counter() - begun
    ledger.close()
    return seconds


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.clusters.scale``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clusters.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trials", nargs="+", type=int, help="of each study, ten a cell")
    options = parser.parse_args(arguments)
    titles: list[str] = []
    for trials in options.trials:
        with tempfile.TemporaryDirectory(prefix="sldd-scale-") as folder:
            figures = _drive(trials, Path(folder) / "scale")
            figures["s to read"] = _read(Path(folder) / "scale")
        if not titles:
            titles = list(figures)
            print(f"| trials | {' | '.join(titles)} |\n| ---: |{' ---: |' * len(titles)}")
        print(f"| {trials:,} | {' | '.join(f'{figures[title]:.3g}' for title in titles)} |", flush=True)
    print(f"\n{_TARGETS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
