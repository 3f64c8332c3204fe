"""Every method on MNIST: digits a class, from the known start and from fresh ones, at what cost.

    python -m benchmarks.distillation.methods  # all methods, 1 and 10 images a class, three seeds: hours
    python -m benchmarks.distillation.methods --methods dm dc --images 1 --seeds 1 --steps 300
    python -m benchmarks.distillation.methods --out docs/records/methods.jsonl  # prints the table
    python -m benchmarks.distillation.methods --methods dm dc frepo mtt --epochs 30  # as many steps as a receiver takes

MNIST's 10,000 test digits (idx files, named by --data), split by order: 8,000 to train, of which the last 500 choose
the state, and 2,000 to test, which are looked at once. Published figures are of 60,000 training digits.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.distillation.digits import Digits, read_digits
from benchmarks.measure import one_thread
from benchmarks.runs_file import RunsFile, settings_of
from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.data.prefetch import draw_rows
from sldd.distillation.initial.images import real_patches
from sldd.distillation.initial.labels import class_labels
from sldd.errors import InputError
from sldd.metrics.evaluators import Evaluator
from sldd.ops.types import InputSpec
from sldd.rng import stream
from sldd.training.fresh_start import FreshSettings, train_fresh
from sldd.training.learner import Learner
from sldd.training.losses import CROSS_ENTROPY
from study.config.cells import cells
from study.config.loader import load
from study.config.methods import METHODS
from study.config.tasks.base import Learned, TaskData
from study.grid.axes import Cell
from study.grid.spec import TrialSpec

CPU = torch.device("cpu")
CLASSES = 10


class DigitData(TaskData):
    """Digits as a task's data: what methods ask of it."""

    loss = CROSS_ENTROPY

    def __init__(self, digits: Digits) -> None:
        self.digits, self.batches, self.size = digits, self, len(digits.classes)
        self._of_class = [torch.nonzero(digits.classes == number)[:, 0] for number in range(CLASSES)]
        self.input = InputSpec(28, tuple(map(str, range(CLASSES))), 0.1307, 0.3081, exclusive=True)
        self.fingerprint = digits.fingerprint()

    def draw(self, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """As of ``BatchSource``, classes in turns."""
        classes = np.arange(count) % CLASSES
        return self.of_classes(random, classes.tolist(), apart=False), torch.from_numpy(classes)

    @property
    def class_sizes(self) -> list[int]:
        return list(map(len, self._of_class))

    def of_classes(self, random: np.random.Generator, classes: Sequence[int], *, apart: bool = True) -> torch.Tensor:
        rows = draw_rows(random, self.class_sizes, classes, apart=apart)
        return self.digits.images[[int(self._of_class[each][row]) for each, row in zip(classes, rows, strict=True)]]

    def image_classes(self, labels: torch.Tensor) -> list[int]:
        return labels.argmax(1).tolist()

    def initial_labels(self, start: str, images: int, seed: int) -> torch.Tensor:
        return class_labels(start, images, CLASSES)

    def real_images(self, labels: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
        return real_patches(steps=steps, classes=self.image_classes(labels), seed=seed, batches=self)

    def evaluator(self, delta: float | None = None) -> Evaluator:
        raise NotImplementedError

    def learned(self, spec: TrialSpec, config: Any, *, augment: bool) -> Learned:
        raise NotImplementedError

    def scored(self, cell: Cell) -> int:
        raise NotImplementedError

    @property
    def drawn_words(self) -> str:
        raise NotImplementedError


def measure(method: str, each: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One distillation: accuracy on test digits from the known start and from fresh ones, and its own core seconds.

    Nothing is kept for other runs: each makes its own experts, and pays for them.
    """
    digits = read_digits(options.data)
    data, chooser, test = DigitData(digits.part(0, 7500)), digits.part(7500, 8000), digits.part(8000, 10000)
    settings = [f"grid.backbone={options.backbone}", f"grid.images={each * CLASSES}", f"grid.method={method}"]
    settings += [f"grid.distill_epochs={options.epochs}", "resources.feature_cache=0", *options.set]
    config = load("demo", ["task=classes", "data.source=classes", *settings])
    (cell,) = cells(config.grid, task="classes")
    ends = getattr(config.search, METHODS[method].ranges["inner_lr"])
    inner_lr = math.sqrt(ends[0] * ends[1]) if options.inner_lr is None else options.inner_lr
    spec = TrialSpec(cell, "search", seed, outer_lr=options.outer_lr, inner_lr=inner_lr, task="classes")
    network = build(options.backbone, input_size=28, classes=CLASSES)
    initialise(network, seed)
    begun = time.process_time()
    learner = METHODS[method].learner(spec, network, data, config, CPU)
    best, state = -1.0, learner.state()
    for step in range(options.steps):
        images, classes = data.draw(stream(seed, "batch", step), options.batch)
        rate = options.outer_lr * 0.5 * (1 + np.cos(np.pi * step / options.steps))
        loss = learner.step(images, classes, float(rate))
        if (step + 1) % max(1, options.steps // 5) == 0:
            found = learner.state()
            reached = _accuracy(learner, found, chooser)
            if options.verbose:
                print(f"  {method} step {step + 1}: loss {loss:.4g}, {reached:.3f} of 500 digits", flush=True)
            if reached >= best:
                best, state = reached, {name: value.clone() for name, value in found.items()}
    seconds = time.process_time() - begun
    fresh = FreshSettings(steps=options.fresh_steps)
    seeds = [1000 + seed * 100 + start for start in range(options.starts)]
    others = [_fresh_accuracy(state, other, fresh, test, options.backbone) for other in seeds]
    known = _accuracy(learner, state, test)
    return {"inner_lr": inner_lr, "known": known, "fresh": others, "core_seconds": round(seconds, 1)}


@torch.no_grad()
def _accuracy(learner: Learner, state: dict[str, torch.Tensor], digits: Digits) -> float:
    weights = learner.weights(state)
    found = torch.cat([learner.forward(weights, part) for part in digits.images.split(500)])
    return float((found.argmax(1) == digits.classes).float().mean())


def _fresh_accuracy(
    state: dict[str, torch.Tensor], seed: int, settings: FreshSettings, test: Digits, backbone: str
) -> float:
    network = build(backbone, input_size=28, classes=CLASSES)
    initialise(network, seed)
    train_fresh(network, state["images"], state["labels"], settings=settings, seed=seed)
    found = torch.cat([network(part) for part in test.images.split(500)])
    return float((found.argmax(1) == test.classes).float().mean())


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Means over seeds, as Markdown."""
    names = ["method", "images a class", "known start", "fresh starts", "core seconds"]
    lines = [f"| {' | '.join(names)} |", f"| {' | '.join('---' for _ in names)} |"]
    for method, each in dict.fromkeys((row["method"], row["each"]) for row in rows):
        of = [row for row in rows if (row["method"], row["each"]) == (method, each)]
        known, cost = (statistics.mean(row[name] for row in of) for name in ("known", "core_seconds"))
        fresh = [value for row in of for value in row["fresh"]]
        spread = f"{statistics.mean(fresh):.3f} ({min(fresh):.3f} to {max(fresh):.3f})" if fresh else "-"
        lines.append(f"| {method} | {each} | {known:.3f} | {spread} | {cost:.0f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.distillation.methods``."""
    distilling = [name for name, method in METHODS.items() if hasattr(method, "learned")]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distillation.methods",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnist"), metavar="DIR")
    parser.add_argument("--methods", nargs="+", choices=distilling, default=distilling)
    parser.add_argument("--images", nargs="+", type=int, default=[1, 10], help="images a class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--starts", type=int, default=5, help="fresh starts")
    parser.add_argument("--steps", type=int, default=2000, help="outer steps")
    parser.add_argument("--fresh-steps", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1, help="E: times that the images are shown at the known start")
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--backbone", default="convnet")
    parser.add_argument("--outer-lr", type=float, default=0.03)
    parser.add_argument("--inner-lr", type=float, help="default: the middle of each method's own range")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of distill and match")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="keep each run; what is there is not run again")
    options = parser.parse_args(arguments)
    one_thread()
    try:
        runs = RunsFile(options.out, settings_of(options, "methods", "images"))
        jobs = [
            {"method": method, "each": each, "seed": seed}
            for each, seed, method in product(options.images, range(options.seeds), options.methods)
        ]
        runs.add_missing(jobs, lambda job: [measure(**job, options=options)])
    except InputError as error:
        print(f"benchmarks.distillation.methods: {error}", file=sys.stderr)
        return 2
    print(table(runs.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
