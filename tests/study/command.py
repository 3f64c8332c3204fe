"""The command, in a process of its own or in this one, on a study so small that its trials take a second."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar
from unittest.mock import patch

import pandas as pd
import psutil
from ray import cloudpickle
from ray.tune.search import Searcher

from analysis.records.records import MEASURED
from study.cluster.ray_cluster import Slots
from study.engine.study_run import StudyRun
from study.export.live import LiveTracking
from study.run import main
from study.search.tune_searcher import StudySearcher
from study.trial.worker import PROCESS, run_with_retries
from tests.forks import FORKS

TINY = [
    "demo", "name=tiny", "grid.backbone=[test_resnet]", "grid.images=[2,3]", "grid.method=sldd",
    "data.phantom={patients: 16, size: 128}", "data.split={validation: 0.2, test: 0.4}",
    "patches={size: 24, stride: 8, score_stride: 16, input_size: 32}",
    "outer={steps: 20, batch_size: 12, evaluations: 2, statistics_batches: 2, checkpoint_every: 4}",
    "outer.checkpoint_share=null",
    "search.trials=2", "confirm.repeats=1",
]  # fmt: skip


OF_FILES = [setting for setting in TINY if not setting.startswith("data.phantom")]
"""The same without what phantoms are asked, for radiographs of files."""


class Study:
    """The folder of a study, and what its command said."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "tiny"
        self.log = out.with_suffix(".log")

    def trials(self, name: str) -> list[Path]:
        return sorted(self.folder.glob(f"trials/*/*/{name}"))

    def checkpoints(self) -> dict[Path, int]:
        """Steps in the last checkpoint of every unfinished trial."""
        saved = [path for path in self.trials("checkpoint/*.pt") if not (path.parents[1] / "result.json").exists()]
        return {path.parents[1]: int(path.stem) for path in saved}  # sorted: of two, the later step stays

    def records(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "records.csv").drop(columns=MEASURED)


class Here(Study):
    """``study.run`` in this process, to its end: a second where another process takes twenty.

    Without Ray, its trials run here too, one after another; with it, in workers that are started for them. The page is
    drawn for a test that looks at it.
    """

    def __init__(self, out: Path, *settings: str, ray: bool = False, page: bool = False) -> None:
        super().__init__(out)
        with ExitStack() as stack:
            log = stack.enter_context(self.log.open("a"))
            stack.enter_context(redirect_stdout(log))
            stack.enter_context(redirect_stderr(log))
            if not ray:
                stack.enter_context(without_ray())
            if not page:
                stack.enter_context(patch("study.engine.conduct.write_dashboard", lambda folder: folder / "no page"))
            self.status = main([*TINY, *settings, "--out", str(out), "--address", "local"])


@contextmanager
def without_ray() -> Iterator[None]:
    """``study.run.main`` runs its trials in this process, one after another."""
    slots = nullcontext(("no Ray", Slots(1.0, 0.0, 1)))
    with (
        patch("study.engine.conduct.connect", lambda *_: slots),
        patch("study.engine.conduct.run_trials", _run_trials),
    ):
        yield


def _run_trials(run: StudyRun) -> int:
    """As ``study.engine.ray_run.run_trials``, on copies of what Ray would send to a worker."""
    context = cloudpickle.loads(cloudpickle.dumps(run.context))
    searcher = StudySearcher(run.searches, run.ledger, may_begin=lambda: run.budget.may_begin)
    with LiveTracking(run.config, run.ledger.folder, print) as tracking:
        for name in map(str, itertools.count()):
            config = searcher.suggest(name)
            if not isinstance(config, dict):
                assert config == Searcher.FINISHED
                return 0
            trial = SimpleNamespace(config=config)
            tracking.on_trial_start(0, [], trial)
            for report in run_with_retries(json.loads(json.dumps(config | {"cpus": 1.0, "gpus": 0.0})), context):
                tracking.on_trial_result(0, [], trial, dict(report))
            tracking.on_trial_complete(0, [], trial)
            searcher.on_trial_complete(name)
    raise AssertionError


class Started(Study):
    """A command that runs in a process of its own, which a test can wait for."""

    def ended(self) -> int | None:
        """The status it ended with; None while it runs."""
        raise NotImplementedError

    def kill(self) -> None:
        """As by the system: nothing is said, nothing is tidied up."""
        raise NotImplementedError

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not happened():
            assert self.ended() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


class Forked(Started):
    """``study.run`` without Ray, in a process that is there at once, and that a test can kill."""

    def __init__(self, out: Path, *settings: str) -> None:
        super().__init__(out)
        self.process = FORKS.Process(target=Here, args=(out, *settings), daemon=True)
        self.process.start()

    def ended(self) -> int | None:
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


class Command(Started):
    """``python -m study.run`` in a process of its own."""

    running: ClassVar[list[Command]] = []  # of which a test that failed may not have seen the end

    def __init__(self, out: Path, *settings: str) -> None:
        super().__init__(out)
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "study.run", *TINY, *settings, "--out", str(out)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running.append(self)

    def wait(self) -> int:
        status = self.process.wait(timeout=300)
        self.running.remove(self)
        return status

    def ended(self) -> int | None:
        return self.process.poll()

    def kill(self) -> None:
        orphans = self.workers()
        os.kill(self.process.pid, signal.SIGKILL)
        self.wait()
        psutil.wait_procs(orphans, timeout=30)  # they end by themselves

    def workers(self) -> list[psutil.Process]:
        """The processes that run trials."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in children if process.name().startswith(PROCESS)]
