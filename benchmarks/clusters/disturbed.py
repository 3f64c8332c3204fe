"""A study of short trials that is disturbed while it runs, and what it lost."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import torch

from analysis.records.records import MEASURED
from ledger.trial_files import read_json
from study.trial.worker import PROCESS

STUDY = [
    "demo", "name=study", "grid.backbone=[test_resnet]", "grid.images=[2,3]", "grid.method=sldd",
    "data.phantom={patients: 16, size: 128}", "data.split={validation: 0.2, test: 0.4}",
    "patches={size: 24, stride: 8, input_size: 32}",
    "outer={steps: 150, batch_size: 12, evaluations: 3, statistics_batches: 2, checkpoint_every: 5}",
    "outer.checkpoint_share=null",
    "search.trials=4", "confirm.repeats=2",
]  # fmt: skip
WAIT = 600.0
"""Most seconds that a start of a disturbed study may take."""


@dataclass
class Count:
    """Losses through one kind of trouble.

    Attributes:
        times: how often the trouble was made.
        starts: starts of trials, over all trials.
        again: finished trials whose result is another one: they ran again.
        lost: finished trials that have no result any more.
        repeated: outer steps up to a checkpoint that were taken again after it was written.
        different: rows of records.csv that the undisturbed study does not have, or has with other values.
    """

    trouble: str
    times: int = 0
    starts: int = 0
    again: int = 0
    lost: int = 0
    repeated: int = 0
    different: int = 0
    remark: str = ""

    @property
    def clean(self) -> bool:
        """Nothing was lost, and nothing done twice."""
        return not (self.again or self.lost or self.repeated or self.different)


@dataclass
class Disturbed:
    """A study under disturbance, and what ``look`` saw of it in between.

    Attributes:
        more: settings beside those of ``STUDY``.
        finished: content of each ``result.json`` of a trial that had ended.
        checkpoints: by trial folder, the step of each checkpoint, with the starts that the trial had had by then.
    """

    out: Path
    more: Sequence[str] = ()
    finished: dict[Path, bytes] = field(default_factory=dict)
    checkpoints: dict[Path, dict[int, int]] = field(default_factory=dict)

    @property
    def study(self) -> Path:
        return self.out / "study"

    @property
    def command(self) -> list[str]:
        """``study.run`` on it."""
        return [sys.executable, "-W", "ignore", "-m", "study.run", *STUDY, *self.more, "--out", str(self.out)]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command; what it says goes to ``<out>.log``."""
        with self.out.with_suffix(".log").open("a") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log)

    def end(self) -> None:
        """Run the command until it ends, undisturbed."""
        status = self.start().wait(WAIT)
        if status:
            raise RuntimeError(f"exit status {status}:\n{self.said()}")

    def finish(self, driver: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a command that runs.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        if driver.wait(WAIT):
            raise RuntimeError(self.said())

    def said(self) -> str:
        """The command's output so far."""
        log = self.out.with_suffix(".log")
        return log.read_text() if log.exists() else ""

    def saved(self) -> dict[Path, int]:
        """The step of the last checkpoint of every trial that has not ended: it runs, or waits at a rung."""
        found = sorted(self.study.glob("trials/*/*/checkpoint/*.pt"))
        return {path.parents[1]: int(path.stem) for path in found if not _has_ended(path.parents[1])}

    def at_rungs(self) -> tuple[int, int]:
        """How often a trial has come to a rung by now, and gone on from one."""
        configs = [read_json(path) or {} for path in self.study.glob("trials/*/*/config.json")]
        went_on = sum(len(config.get("taken_up", ())) for config in configs)
        waiting = sum(bool(_rung(path.parent)) for path in self.study.glob("trials/*/*/result.json"))
        return waiting + went_on, went_on

    def ahead(self) -> bool:
        """Whether each trial that runs has a checkpoint of the worker that runs it now."""
        found = self.study.glob("trials/*/*/worker.json")
        running = [path for path in found if not (path.parent / "result.json").exists()]
        saved = self.saved()
        for path in running:
            began_at = (read_json(path) or {"step": math.inf})["step"]  # the checkpoint with which the worker began
            if saved.get(path.parent, 0) <= began_at:
                return False
        return bool(running)

    def look(self) -> None:
        """Remember what is finished and what has a checkpoint: neither may be computed again."""
        for path in self.study.glob("trials/*/*/result.json"):
            if _has_ended(path.parent):
                self.finished.setdefault(path, path.read_bytes())
        for folder, step in self.saved().items():
            with suppress(FileNotFoundError):  # the next has just taken its place
                self.checkpoints.setdefault(folder, {})[step] = starts_of(folder / "checkpoint" / f"{step:09}.pt")

    def count(self, trouble: str, times: int, undisturbed: pd.DataFrame, remark: str = "") -> Count:
        """Compare what is there now with what ``look`` saw, and with the records of an undisturbed run."""
        count = Count(trouble, times, remark=remark)
        for path, content in self.finished.items():
            if not path.exists():
                count.lost += 1
            elif path.read_bytes() != content:
                count.again += 1
        for path in self.study.glob("trials/*/*/result.json"):
            starts = json.loads(path.read_text())["starts"]
            count.starts += len(starts)
            for step, before in self.checkpoints.get(path.parent, {}).items():
                # Each start says from which step it went on; none after the checkpoint should be from an earlier one.
                count.repeated += max(0, step - min(starts[before:], default=step))
        count.different = len(_different_trials(self.records(), undisturbed))
        return count

    def records(self) -> pd.DataFrame:
        """records.csv without what is measured."""
        return pd.read_csv(self.study / "records.csv").drop(columns=MEASURED)


def _different_trials(records: pd.DataFrame, undisturbed: pd.DataFrame) -> set[str]:
    """Trials that one of the two lacks; where both have the same, those whose rows differ."""
    trials = set(records["trial"]) ^ set(undisturbed["trial"])
    if trials:
        return trials
    differing = (records != undisturbed) & ~(records.isna() & undisturbed.isna())
    return set(records["trial"][differing.any(axis=1)])


def _has_ended(trial: Path) -> bool:
    return _rung(trial) == 0


def _rung(trial: Path) -> int | None:
    """The rung that a trial waits at; 0 once it has ended, None while it runs."""
    result = read_json(trial / "result.json")
    return None if result is None else int(result.get("rung") or 0)


def starts_of(checkpoint: Path) -> int:
    """How many starts a trial had had when it wrote this."""
    return len(torch.load(checkpoint, map_location="cpu", weights_only=True)["starts"])


def until(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Wait for something to happen; False where the process ended before."""
    deadline = time.monotonic() + WAIT
    while not happened():
        if process.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise RuntimeError("what was waited for did not happen")
        time.sleep(0.05)
    return True


def workers(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that run trials."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith(PROCESS):
                found.append(process)
    return found
