"""Disturb a study as machines do, and count its losses: python -m benchmarks.clusters.reliability

    python -m benchmarks.clusters.reliability                            all; prints a Markdown table
    python -m benchmarks.clusters.reliability driver disk --kills 5      some of it

A study of twelve short trials is run undisturbed, and then again for each kind of trouble, until it ends. Counted are

    run again         finished trials that ran again
    lost              finished trials that are gone
    steps repeated    outer steps that a checkpoint had, and that were taken again
    rows that differ  rows of records.csv that are not those of the undisturbed run (times and memory aside)

The exit status is 1 where any is not zero.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.clusters.disturbed import WAIT, Count, Disturbed, starts_of, until, workers

WORKERS_END = 4.0
"""Seconds after which the workers of a driver that was killed have ended by themselves."""
HALVING = ("search={trials: 8, pruner: halving, rungs: [0.2, 0.6]}",)


def kill_driver(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """SIGKILL for the driver at random, 1 to 25 s after its start; Ray and the first trials take some ten to start."""
    done = met = 0  # kills, and those of them that met trials
    for _ in range(kills):
        driver = study.start()
        time.sleep(chance.uniform(1, 25))
        if driver.poll() is not None:
            break
        met += bool(workers(driver))
        driver.kill()
        driver.wait()
        done += 1
        time.sleep(WORKERS_END)
        study.look()
    study.end()
    return done, f"SIGKILL at random moments, {met} of them while trials ran"


def kill_workers(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """SIGKILL for every worker process once, when all running trials have a checkpoint of their present worker.

    Not before: a trial that loses three workers in a row before any gets ahead is taken for the cause, and reported.
    """
    driver, killed = study.start(), set[int]()

    def may_be_killed() -> bool:
        return study.ahead() and any(worker.pid not in killed for worker in workers(driver))

    while len(killed) < kills and until(may_be_killed, driver):
        time.sleep(chance.uniform(0, 2))
        for worker in workers(driver):
            if worker.pid not in killed and driver.poll() is None:
                worker.kill()
                worker.wait(10)
                killed.add(worker.pid)
                study.look()
                break
    study.finish(driver)
    return len(killed), "SIGKILL for worker processes, one after another"


def kill_at_rungs(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """SIGKILL for the driver and for all workers by turns, whenever a trial comes to a rung or goes on from one."""
    driver, done, before = study.start(), 0, study.at_rungs()
    went_on = 0
    while done < kills and until(lambda: study.at_rungs() != before, driver):  # noqa: B023
        time.sleep(chance.uniform(0, 0.2))
        went_on += study.at_rungs()[1] > before[1]
        before = study.at_rungs()
        if done % 2 == 0:
            driver.kill()
            driver.wait()
            time.sleep(WORKERS_END)
            study.look()
            driver = study.start()
        else:
            for worker in workers(driver):
                worker.kill()
            study.look()
        done += 1
    study.finish(driver)
    return done, f"SIGKILL for the driver and for all workers by turns; {went_on} as a trial went on from its rung"


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
    study.finish(driver)
    return warned, "SIGTERM for worker processes: each wrote a checkpoint"


def cut_files(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """Interrupt, cut a checkpoint and a result in half, and go on."""
    driver = study.start()
    until(lambda: len(list(study.study.glob("trials/*/*/result.json"))) > 1 and bool(study.saved()), driver)
    driver.send_signal(signal.SIGINT)
    driver.wait(WAIT)
    study.look()
    result = sorted(study.finished)[0]
    result.write_bytes(result.read_bytes()[: len(study.finished.pop(result)) // 2])
    folder, step = sorted(study.saved().items())[0]
    checkpoint = folder / "checkpoint" / f"{step:09}.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    before = [path for path in checkpoint.parent.glob("*.pt") if path != checkpoint]
    study.checkpoints[folder] = {int(path.stem): starts_of(path) for path in before}
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
    study.finish(driver)
    said = "trials were paused with a line that says so" if paused else "the study ended before it noticed"
    return 1, f"{said}; nothing was done by hand but freeing the disk"


def second_driver(study: Disturbed, kills: int, chance: random.Random) -> tuple[int, str]:
    """A second command on the same study."""
    driver = study.start()
    until(lambda: bool(study.saved()), driver)
    second = subprocess.run(study.command, capture_output=True, text=True, check=False)
    study.look()
    study.finish(driver)
    named = second.returncode == 2 and f"process {driver.pid} on " in second.stderr
    if not named:
        raise RuntimeError(f"the second driver was let in: {second.returncode} {second.stderr}")
    return 1, "the second is refused (exit status 2) and told the process and machine of the first"


@dataclass(frozen=True)
class Trouble:
    """A kind of trouble, and what makes it: a study, how many kills and a source of chance -> times and a remark.

    Attributes:
        more: settings of the study that it is for.
    """

    title: str
    make: Callable[[Disturbed, int, random.Random], tuple[int, str]]
    more: tuple[str, ...] = ()


TROUBLES = {
    "driver": Trouble("the driver is killed", kill_driver),
    "workers": Trouble("workers are killed", kill_workers),
    "rungs": Trouble("driver and workers are killed at rungs", kill_at_rungs, HALVING),
    "warned": Trouble("workers are warned", warn_workers),
    "cut": Trouble("a checkpoint and a result are cut in half", cut_files),
    "disk": Trouble("the disk is full, then freed", fill_disk),
    "second": Trouble("two drivers on one study", second_driver),
}


def measure(names: list[str], kills: int, seed: int, folder: Path) -> list[Count]:
    """Make the troubles named, one after another, each on a study of its own."""
    undisturbed: dict[tuple[str, ...], pd.DataFrame] = {}
    counts = []
    for name in names:
        trouble = TROUBLES[name]
        if name == "disk" and os.geteuid() != 0:
            print("disk: only root can mount a small one; left out", file=sys.stderr)
            continue
        if trouble.more not in undisturbed:
            calm = Disturbed(folder / f"undisturbed-{len(undisturbed)}", trouble.more)
            calm.end()
            undisturbed[trouble.more] = calm.records()
        study = Disturbed(folder / name, trouble.more)
        try:
            times, remark = trouble.make(study, kills, random.Random(f"{seed}/{name}"))
            counts.append(study.count(trouble.title, times, undisturbed[trouble.more], remark))
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
