"""Disturb a study as machines do, and count its losses: python -m benchmarks.clusters.reliability

    python -m benchmarks.clusters.reliability                            all; prints a Markdown table
    python -m benchmarks.clusters.reliability driver disk --kills 5      some of it

A study of twelve short trials is run undisturbed, and then again for each kind of trouble, until it ends. Counted are
finished trials that ran again, finished trials that were lost, steps of a checkpoint that were taken again, and rows of
records.csv that are not the undisturbed run's (times and memory aside). The exit status is 1 where any is not zero.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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
    "search.trials=4", "confirm.repeats=2",
]  # fmt: skip
_WAIT = 600.0


@dataclass
class Count:
    """Losses through one kind of trouble."""

    trouble: str
    times: int = 0
    """It was made so often."""
    starts: int = 0
    """Starts of trials, over all trials."""
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
    """A study under disturbance, and its state before each."""

    out: Path
    finished: dict[Path, bytes] = field(default_factory=dict)
    checkpoints: dict[Path, dict[int, int]] = field(default_factory=dict)
    """Steps of the checkpoints seen, of each trial, with how many starts it had had by then."""

    @property
    def study(self) -> Path:
        return self.out / "study"

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the command; what it says goes to ``<out>.log``."""
        with self.out.with_suffix(".log").open("a") as log:
            command = [sys.executable, "-W", "ignore", "-m", "study.run", *STUDY, "--out", str(self.out), *more]
            return subprocess.Popen(command, stdout=log, stderr=log)

    def end(self) -> None:
        """Run the command until it ends, undisturbed."""
        status = self.start().wait(_WAIT)
        if status:
            raise RuntimeError(f"exit status {status}:\n{self.said()}")

    def said(self) -> str:
        """The command's output so far."""
        log = self.out.with_suffix(".log")
        return log.read_text() if log.exists() else ""

    def saved(self) -> dict[Path, int]:
        """The step of the last checkpoint of every trial without a result."""
        found = sorted(self.study.glob("trials/*/*/checkpoint/*.pt"))
        return {path.parents[1]: int(path.stem) for path in found if not (path.parents[1] / "result.json").exists()}

    def ahead(self) -> bool:
        """Whether each trial that runs has a checkpoint of the worker that runs it now."""
        found = self.study.glob("trials/*/*/worker.json")
        running = [path for path in found if not (path.parent / "result.json").exists()]
        saved = self.saved()
        return bool(running) and all(
            saved.get(path.parent, 0) > (read_json(path) or {"step": math.inf})["step"] for path in running
        )

    def look(self) -> None:
        """Remember what is finished and what has a checkpoint: neither may be computed again."""
        for path in self.study.glob("trials/*/*/result.json"):
            self.finished.setdefault(path, path.read_bytes())
        for folder, step in self.saved().items():
            with suppress(FileNotFoundError):  # the next has just taken its place
                self.checkpoints.setdefault(folder, {})[step] = _starts(folder / "checkpoint" / f"{step:09}.pt")

    def count(self, trouble: str, times: int, undisturbed: pd.DataFrame, remark: str = "") -> Count:
        """Compare what is there now with what was seen, and with an undisturbed run."""
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
                count.repeated += max(0, step - min(starts[before:], default=step))
        records = self.records()
        rows = set(records["trial"]) ^ set(undisturbed["trial"])
        if not rows:
            differing = (records != undisturbed) & ~(records.isna() & undisturbed.isna())
            rows = set(records["trial"][differing.any(axis=1)])
        count.different = len(rows)
        return count

    def records(self) -> pd.DataFrame:
        """records.csv without what is measured."""
        return pd.read_csv(self.study / "records.csv").drop(columns=MEASURED)


def _starts(checkpoint: Path) -> int:
    """How many starts a trial had had when it wrote this."""
    return len(torch.load(checkpoint, map_location="cpu", weights_only=True)["starts"])


def until(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Wait for something to happen; False where the process ended before."""
    deadline = time.monotonic() + _WAIT
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


def kill_driver(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """SIGKILL at moments of chance, from the first second of a start on: Ray and the first trials take some ten."""
    done = met = 0
    for _ in range(kills):
        driver = study.start()
        time.sleep(chance.uniform(1, 25))
        if driver.poll() is not None:
            break
        met += bool(workers(driver))
        driver.kill()
        driver.wait()
        done += 1
        time.sleep(4)  # workers of a dead driver end by themselves
        study.look()
    study.end()
    return done, f"SIGKILL at random moments, {met} of them while trials ran"


def kill_workers(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """SIGKILL for every worker process once, when its trial has a checkpoint of its own: a trial whose workers are lost
    three times in a row before any gets ahead is taken for the cause, and reported."""
    driver, killed = study.start(), set[int]()

    def ripe() -> bool:
        return study.ahead() and any(worker.pid not in killed for worker in workers(driver))

    while len(killed) < kills and until(ripe, driver):
        time.sleep(chance.uniform(0, 2))
        for worker in workers(driver):
            if worker.pid not in killed and driver.poll() is None:
                worker.kill()
                worker.wait(10)
                killed.add(worker.pid)
                study.look()
                break
    if driver.wait(_WAIT):
        raise RuntimeError(study.said())
    return len(killed), "SIGKILL for worker processes, one after another"


def warn_workers(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """SIGTERM for workers, as before a spot machine is taken away."""
    driver, warned = study.start(), 0
    while warned < kills and until(lambda: bool(study.saved()), driver):
        time.sleep(chance.uniform(0, 3))
        for worker in workers(driver)[:1]:
            worker.terminate()
            warned += 1
        time.sleep(2)
        study.look()
    if driver.wait(_WAIT):
        raise RuntimeError(study.said())
    return warned, "SIGTERM for worker processes: each wrote a checkpoint"


def cut_files(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """Interrupt, cut a checkpoint and a result in half, and go on."""
    driver = study.start()
    until(lambda: len(list(study.study.glob("trials/*/*/result.json"))) > 1 and bool(study.saved()), driver)
    driver.send_signal(signal.SIGINT)
    driver.wait(_WAIT)
    study.look()
    result = sorted(study.finished)[0]
    result.write_bytes(result.read_bytes()[: len(study.finished.pop(result)) // 2])
    folder, step = sorted(study.saved().items())[0]
    checkpoint = folder / "checkpoint" / f"{step:09}.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    before = [path for path in checkpoint.parent.glob("*.pt") if path != checkpoint]
    study.checkpoints[folder] = {int(path.stem): _starts(path) for path in before}
    study.end()
    return 2, "the trial whose result was cut ran again; the other went on from the checkpoint before"


def fill_disk(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """Fill the disk under a running study, and free it when the study says so."""
    study.out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "sldd-disk", str(study.out)], check=True)
    ballast = study.out / "ballast"
    driver = study.start()
    until(lambda: len(list(study.study.glob("trials/*/*/result.json"))) > 1, driver)
    study.look()
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    paused = until(lambda: "no room left" in study.said(), driver)
    time.sleep(10)
    study.look()
    ballast.unlink()
    if driver.wait(_WAIT):
        raise RuntimeError(study.said())
    said = "trials were paused with a line that says so" if paused else "the study ended before it noticed"
    return 1, f"{said}; nothing was done by hand but freeing the disk"


def second_driver(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """A second command on the same study."""
    driver = study.start()
    until(lambda: bool(study.saved()), driver)
    second = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "study.run", *STUDY, "--out", str(study.out)],
        capture_output=True,
        text=True,
        check=False,
    )
    study.look()
    if driver.wait(_WAIT):
        raise RuntimeError(study.said())
    named = second.returncode == 2 and f"process {driver.pid} on " in second.stderr
    if not named:
        raise RuntimeError(f"the second driver was let in: {second.returncode} {second.stderr}")
    return 1, "the second is refused (exit status 2) and told the process and machine of the first"


TROUBLES: dict[str, tuple[str, Callable[[Disturbed, int, random.Random], tuple[int, str]]]] = {
    "driver": ("the driver is killed", kill_driver),
    "workers": ("workers are killed", kill_workers),
    "warned": ("workers are warned", warn_workers),
    "cut": ("a checkpoint and a result are cut in half", cut_files),
    "disk": ("the disk is full, then freed", fill_disk),
    "second": ("two drivers on one study", second_driver),
}


def measure(names: list[str], kills: int, seed: int, folder: Path) -> list[Count]:
    """Make the troubles named, one after another, each on a study of its own."""
    undisturbed = Disturbed(folder / "undisturbed")
    undisturbed.end()
    records = undisturbed.records()
    counts = []
    for name in names:
        title, make = TROUBLES[name]
        if name == "disk" and os.geteuid() != 0:
            print("disk: only root can mount a small one; left out", file=sys.stderr)
            continue
        study = Disturbed(folder / name)
        try:
            times, remark = make(study, kills, random.Random(f"{seed}/{name}"))
            counts.append(study.count(title, times, records, remark))
            print(_row(counts[-1]), flush=True)
        finally:
            if os.path.ismount(study.out):
                subprocess.run(["umount", "--lazy", str(study.out)], check=True)
    return counts


def _row(count: Count) -> str:
    cells = [count.trouble, count.times, count.starts, count.again, count.lost, count.repeated, count.different]
    return f"| {' | '.join(map(str, [*cells, count.remark]))} |"


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.clusters.reliability``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clusters.reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("troubles", nargs="*", choices=[*TROUBLES, []], metavar="TROUBLE", help=", ".join(TROUBLES))
    parser.add_argument("--kills", type=int, default=20, help="of the driver, and of workers (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print("| Trouble | times | starts of trials | run again | lost | steps repeated | rows that differ | |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="sldd-reliability-") as folder:
        counts = measure(options.troubles or list(TROUBLES), options.kills, options.seed, Path(folder))
    return 0 if all(count.clean for count in counts) else 1


if __name__ == "__main__":
    sys.exit(main())
