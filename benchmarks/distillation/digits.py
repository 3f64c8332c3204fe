"""Distillation of MNIST into ten images: LeNet with a fixed start, S = 1.

    python -m benchmarks.distillation.digits  # DD and SLDD, three seeds each; an hour and a quarter on one core
    python -m benchmarks.distillation.digits --seeds 1 --steps 500

MNIST's 10,000 test digits (idx files, named by --data or in ../shared/data/mnist), split by order: 8,000 to train and
2,000 to test, which are looked at once, with the last state. Published, with 60,000 training digits: 94 % for DD and
96 % for SLDD (Wang et al. 2018; Sucholutsky & Schonlau 2019).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import one_thread
from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import LEARNED, DistillSettings
from sldd.errors import InputError
from sldd.rng import stream
from sldd.training.compute import ComputeSettings
from sldd.training.learner import Learner
from sldd.training.outer_loop import DivergedError

CPU = torch.device("cpu")
Predict = Callable[[torch.Tensor], torch.Tensor]
TARGETS = {"dd": 0.94, "sldd": 0.96}


@dataclass(frozen=True)
class Digits:
    """Standardised images (n, 1, 28, 28) and classes (n,)."""

    images: torch.Tensor
    classes: torch.Tensor

    def part(self, start: int, stop: int) -> Digits:
        """Digits ``start`` to ``stop`` in the file's order."""
        return Digits(self.images[start:stop], self.classes[start:stop])

    def fingerprint(self) -> str:
        """Digest of all images and classes."""
        found = hashlib.sha256()
        for values in (self.images, self.classes):
            found.update(values.numpy().tobytes())
        return found.hexdigest()


def read_digits(folder: Path) -> Digits:
    """The 10,000 test digits from their idx files.

    Raises:
        InputError: they are not there.
    """
    try:
        with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
        with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
            classes = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    except OSError as error:
        raise InputError(f"{folder}: no idx files ({error.strerror or error}); name their folder with --data") from None
    images = torch.from_numpy(pixels.astype(np.float32) / 255)
    return Digits((images - 0.1307) / 0.3081, torch.from_numpy(classes))


def distil(
    train: Digits, method: str, seed: int, options: argparse.Namespace
) -> tuple[Distillation, list[list[float]]]:
    """The learner after all its steps, and [step, accuracy on 2,000 training digits] along the way."""
    network = build("lenet", input_size=28, classes=10)
    initialise(network, seed)
    noise = torch.from_numpy(stream(seed, "noise").standard_normal((1, 10, 1, 28, 28), dtype="float32"))
    learner = Distillation(
        network,
        noise,
        torch.eye(10),
        epochs=options.epochs,
        inner_lr=options.inner_lr,
        learned=LEARNED if method == "sldd" else ("images", "rates"),
        settings=DistillSettings(
            rates=options.rates,
            rate_unit="absolute",
            rate_lr=options.rate_lr,
            clip=options.clip,
            average=options.average,
        ),
        compute=ComputeSettings(memory="keep"),
        seed=seed,
        device=CPU,
    )
    curve = []
    for step in range(options.steps):
        picked = torch.from_numpy(stream(seed, "batch", step).integers(len(train.classes), size=options.batch))
        rate = options.outer_lr * 0.5 * (1 + math.cos(math.pi * step / options.steps))
        learner.step(train.images[picked], train.classes[picked], rate)
        if (step + 1) % max(1, options.steps // 20) == 0:
            curve.append([step + 1, accuracy(distilled(learner), train.part(0, 2000))])
    return learner, curve


def distilled(learner: Learner) -> Predict:
    """The network that a learner's state stands for."""
    return partial(learner.forward, learner.weights(learner.state()))


@torch.no_grad()
def accuracy(predict: Predict, digits: Digits) -> float:
    """Share of digits that a network gets right.

    Args:
        predict: (n, 1, 28, 28) images -> (n, 10) logits.

    Raises:
        DivergedError: a logit is not finite; what is not a number would be a class, and right one time in ten.
    """
    logits = torch.cat([predict(part) for part in digits.images.split(500)])
    if not bool(logits.isfinite().all()):
        raise DivergedError("the network's logits are not finite")
    return float((logits.argmax(1) == digits.classes).float().mean())


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.distillation.digits``; 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distillation.digits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnist"), metavar="DIR")
    parser.add_argument("--methods", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10_000, help="outer steps")
    parser.add_argument("--epochs", type=int, default=3, help="E: times that the ten images are shown")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--outer-lr", type=float, default=0.1)
    parser.add_argument("--inner-lr", type=float, default=0.02)
    parser.add_argument("--rate-lr", type=float, default=1.0, help="pace of the inner rates, in outer rates; default 1")
    parser.add_argument(
        "--rates", choices=["step", "tensor"], default="tensor", help="inner rates: one a step, or more"
    )
    parser.add_argument("--clip", type=float)
    parser.add_argument("--average", type=float, default=0.0)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keep accuracies and curves")
    options = parser.parse_args(arguments)
    one_thread()
    try:
        digits = read_digits(options.data)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    train, test = digits.part(0, 8000), digits.part(8000, 10000)
    kept: dict[str, list[dict[str, object]]] = {}
    missed = False
    for method in options.methods:
        found = []
        for seed in range(options.seeds):
            begun = time.perf_counter()
            try:
                learner, curve = distil(train, method, seed, options)
                found.append(accuracy(distilled(learner), test))
            except DivergedError as error:
                print(f"{method} seed {seed}: diverged, {error}", flush=True)
                kept.setdefault(method, []).append({"seed": seed, "test": None, "curve": []})
                missed = True
                continue
            kept.setdefault(method, []).append({"seed": seed, "test": found[-1], "curve": curve})
            spent = time.perf_counter() - begun
            print(f"{method} seed {seed}: {found[-1]:.4f} of the test digits, {spent:.0f} s", flush=True)
        if not found:
            continue
        mean = statistics.mean(found)
        missed |= mean < TARGETS[method]
        verdict = "" if mean >= TARGETS[method] else "  MISSED"
        print(f"{method}: mean {mean:.4f} (lowest {min(found):.4f}), target {TARGETS[method]}{verdict}", flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps(kept, indent=1))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
