"""Ten images for MNIST's digits, by this project and by its two peers, in equal core seconds.

    python -m benchmarks.distillation.race --dd SSNL_CHECKOUT --sldd ILIA_CHECKOUT --out docs/records/race.jsonl
    python -m benchmarks.distillation.race --dd SSNL_CHECKOUT --seconds 60 --seeds 0

LeNet at 28 px from a fixed Xavier start, one image a class, shown three times, batches of 256 of 8,000 digits (the
first of MNIST's 10,000 test digits, idx files named by --data); the last 2,000 are looked at once, by the last state. A
run is as many outer steps as fit into its core seconds, one thread, with all drawing and scoring aside. Ours: today's
defaults, the rate falling along a cosine. Theirs: a rate that is halved ten times on the way, as by their defaults in
400 epochs; where it starts is the best of 0.01, which is their default, 0.03, 0.1 and 0.3 after 60 core seconds, by one
run on 500 training digits that were left out. A command that was interrupted goes on with --out.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.distillation.digits import CPU, Digits, accuracy, distilled, read_digits
from benchmarks.measure import one_thread
from benchmarks.peers import Peer, check_checkout, checkout_digest
from benchmarks.runs_file import Job, RunsFile
from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.distillation.distill import Distillation
from sldd.distillation.initial.images import noise_images
from sldd.errors import InputError
from sldd.rng import stream
from sldd.training.outer_loop import DivergedError

OURS = "ours"
EPOCHS, BATCH = 3, 256
OUTER_LR, INNER_LR = 0.03, 0.02
"""The middle of a study's ranges."""
PEER_RATES = {"dd": 0.1, "sldd": 0.1}
TITLES = {
    OURS: "this project, SLDD",
    "dd": "ssnl/dataset-distillation, DD",
    "sldd": "ilia10000/dataset-distillation, SLDD",
}
HALVINGS = 10


class Racer(Protocol):
    """What is learned, and how far it has come."""

    def step(self, images: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """One outer step on a batch, at this outer rate."""
        ...

    def right(self, images: torch.Tensor, classes: torch.Tensor) -> float:
        """Share of digits that the network of the learned images gets right."""
        ...


class Ours:
    """This project's distillation by today's defaults."""

    def __init__(self, seed: int) -> None:
        network = build("lenet", input_size=28, classes=10)
        initialise(network, seed)
        images = noise_images(steps=1, images=10, side=28, seed=seed)
        self._learner = Distillation(
            network, images, torch.eye(10), epochs=EPOCHS, inner_lr=INNER_LR, seed=seed, device=CPU
        )
        self.step = self._learner.step

    def right(self, images: torch.Tensor, classes: torch.Tensor) -> float:
        """Share of digits that the network of the learned images gets right."""
        return accuracy(distilled(self._learner), Digits(images, classes))


def _falling(share: float) -> float:
    return OUTER_LR * 0.5 * (1 + math.cos(math.pi * share))


def race(name: str, seconds: float, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One run; its share of right test digits, None where it diverged, and how many steps fitted in."""
    one_thread()
    digits = read_digits(options.data)
    train, test = digits.part(0, 8000), digits.part(8000, 10000)
    racer, rate = _racer(name, seed, options)
    spent, number = 0.0, 0
    while spent < seconds:
        picked = torch.from_numpy(stream(seed, "batch", number).integers(len(train.classes), size=BATCH))
        images, classes = train.images[picked], train.classes[picked]
        begun = time.process_time()
        racer.step(images, classes, rate(spent / seconds))
        spent += time.process_time() - begun
        number += 1
    try:
        right = racer.right(test.images, test.classes)
    except DivergedError:
        right = None
    return {"racer": name, "seconds": seconds, "seed": seed, "right": right, "steps": number}


def _racer(name: str, seed: int, options: argparse.Namespace) -> tuple[Racer, Callable[[float], float]]:
    if name == OURS:
        return Ours(seed), _falling
    peer = Peer(getattr(options, name), epochs=EPOCHS, seed=seed)
    return peer, lambda share: PEER_RATES[name] * 0.5 ** math.floor(HALVINGS * share)


def table(runs: Iterable[dict[str, Any]]) -> str:
    """Markdown: the mean over seeds of test digits told right, with each, a row a racer and a column a budget; the
    mean is of those that did not diverge."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run["seed"]):
        groups[run["racer"], run["seconds"]].append(run)
    budgets = sorted({seconds for _, seconds in groups})
    lines = ["| % of test digits after | " + " | ".join(f"{each:g} core seconds" for each in budgets) + " |"]
    lines.append("| --- |" + " --- |" * len(budgets))
    for racer in dict.fromkeys(racer for racer, _ in groups):
        cells = []
        for each in budgets:
            group = groups.get((racer, each), [])
            if not group:
                cells.append("not measured")
                continue
            shares = [None if run["right"] is None else 100 * run["right"] for run in group]
            reached = [share for share in shares if share is not None]
            mean = f"{statistics.fmean(reached):.1f}" if reached else "-"
            seeds = ", ".join("diverged" if share is None else f"{share:.1f}" for share in shares)
            cells.append(f"{mean} ({seeds}; {statistics.fmean(run['steps'] for run in group):,.0f} steps)")
        lines.append(f"| {TITLES[racer]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.distillation.race``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distillation.race",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnist"), metavar="DIR")
    parser.add_argument("--dd", type=Path, metavar="DIR", help="checkout of ssnl/dataset-distillation")
    parser.add_argument("--sldd", type=Path, metavar="DIR", help="checkout of ilia10000/dataset-distillation")
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 240.0, 900.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=1, help="runs at once, each on one thread")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="keep runs there, and go on with those it has")
    options = parser.parse_args(arguments)
    try:
        for folder in (options.dd, options.sldd):
            check_checkout(folder)
        settings = _settings(read_digits(options.data))
        file = RunsFile(options.out, settings, added=("halvings", "digits"), defined=("racer", _code_of(options)))
        _run_all(file.missing(_jobs(options)), file, options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(file.rows))
    return 0


def _settings(digits: Digits) -> dict[str, Any]:
    """What all runs of a file have to have in common."""
    rates = {"outer_lr": OUTER_LR, "inner_lr": INNER_LR, "peer_rates": PEER_RATES, "halvings": HALVINGS}
    return {"epochs": EPOCHS, "batch": BATCH, "digits": digits.fingerprint()[:16]} | rates


def _jobs(options: argparse.Namespace) -> list[Job]:
    """Runs that are asked for, the short ones first."""
    racers = [OURS, *(name for name in PEER_RATES if getattr(options, name) is not None)]
    return [
        {"racer": name, "seconds": each, "seed": seed}
        for each in sorted(options.seconds)
        for seed in options.seeds
        for name in racers
    ]


def _code_of(options: argparse.Namespace) -> Callable[[str], dict[str, str]]:
    """What a racer's runs are of: a peer's checkout, as it is now."""
    digests = {name: checkout_digest(folder)[:16] for name in PEER_RATES if (folder := getattr(options, name))}
    return lambda name: {"checkout": digests[name]} if name in digests else {}


def _run_all(jobs: list[Job], file: RunsFile, options: argparse.Namespace) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, spawn, max_tasks_per_child=1) as pool:  # of the peers, one a process
        running = [pool.submit(race, job["racer"], job["seconds"], job["seed"], options) for job in jobs]
        for future in as_completed(running):
            file.append([future.result()])
            print(json.dumps(file.rows[-1]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
