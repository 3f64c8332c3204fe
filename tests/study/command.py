"""The command in a process of its own, on a study so small that it takes a minute."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pandas as pd
import psutil

from analysis.records.records import MEASURED
from study.trial.worker import PROCESS

TINY = [
    "demo", "name=tiny", "grid.backbone=[test_resnet]", "grid.images=[2,3]",
    "data.phantom={patients: 16, size: 128}", "data.split={validation: 0.2, test: 0.4}",
    "patches={size: 24, stride: 8, input_size: 32}",
    "outer={steps: 40, batch_size: 12, evaluations: 2, statistics_batches: 2, checkpoint_every: 5}",
    "search.trials=2", "confirm.repeats=1",
]  # fmt: skip


class Command:
    """``python -m study.run`` with its study's folder."""

    running: ClassVar[list[Command]] = []  # of which a test that failed may not have seen the end

    def __init__(self, out: Path, *settings: str) -> None:
        self.study = out / "tiny"
        self.log = out.with_suffix(".log")
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "study.run", *TINY, *settings, "--out", str(out)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment | {"XDG_CACHE_HOME": str(out.parent / "user-cache")},
            )
        self.running.append(self)

    def wait(self) -> int:
        status = self.process.wait(timeout=300)
        self.running.remove(self)
        return status

    def kill(self) -> None:
        """As by the system: nothing is said, nothing is tidied up."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.wait()
        time.sleep(3)  # orphaned workers of the dead driver end by themselves

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not happened():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def trials(self, name: str) -> list[Path]:
        return sorted(self.study.glob(f"trials/*/*/{name}"))

    def checkpoints(self) -> dict[Path, int]:
        """Steps in the last checkpoint of every unfinished trial."""
        saved = [path for path in self.trials("checkpoint/*.pt") if not (path.parents[1] / "result.json").exists()]
        return {path.parents[1]: int(path.stem) for path in saved}  # sorted: of two, the later step stays

    def workers(self) -> list[psutil.Process]:
        """The processes that run trials."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in children if process.name().startswith(PROCESS)]

    def records(self) -> pd.DataFrame:
        return pd.read_csv(self.study / "records.csv").drop(columns=MEASURED)
