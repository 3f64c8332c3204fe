"""What has to be the same on a GPU as on a CPU, and after an interruption as without."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import sldd
from benchmarks.clusters.hosts import ROOT
from benchmarks.gpu.bench import Bench, Row
from benchmarks.speed.steps import Problem
from sldd.distillation.distill import Distillation
from sldd.rng import stream
from sldd.training.compute import ComputeSettings

_LEAST = 0.99
"""Share of votes that have to agree: between devices there is rounding, and a vote may lie on an edge."""


def packages(bench: Bench) -> Iterator[Row]:
    """Votes of a package's network: made on the device and applied on a CPU, and the other way round."""
    patches, side = (100 if bench.quick else 1000), 32
    steps = 4 if bench.quick else 100
    with tempfile.TemporaryDirectory(prefix="sldd-gpu-") as folder:
        cohort = sldd.open_cohort(source="phantom", phantom={"patients": 16, "size": 128}, cache=Path(folder))
        seen = torch.from_numpy(stream(0, "votes").normal(size=(patches, 1, side, side))).float()
        for made in dict.fromkeys(("cpu", bench.device.type)):
            distilled = sldd.distill(
                "test_resnet",
                cohort,
                patches=sldd.PatchSettings(size=24, stride=8, score_stride=16, input_size=side),
                outer=sldd.OuterSettings(steps=steps, batch_size=12, evaluations=2, statistics_batches=2),
                split=sldd.SplitSettings(validation=0.2, test=0.4),
                device=made,
                show_progress=False,
            )
            network = distilled.train_receiver()
            with torch.no_grad():
                there = network(seen).argmax(1)
                here = network.to(bench.device)(seen.to(bench.device)).argmax(1).cpu()
            same = float((there == here).float().mean())
            yield Row(f"made on {made}: equal votes on cpu and {bench.device.type}", same, "", same >= _LEAST)


def resume(bench: Bench) -> Iterator[Row]:
    """Outer steps from a checkpoint in a fresh learner, as a killed trial goes on, against the same without a break."""
    half = 2 if bench.quick else 10
    compute = ComputeSettings(memory="keep", deterministic=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    compute.apply(torch.get_num_threads())
    try:
        case = Problem("test_resnet", side=32, batch=12, classes=3, images=3, device=bench.device)

        def steps(learner: Distillation, count: int) -> None:
            for _ in range(count):
                case.step(learner)

        through, first, second = (case.learner(epochs=3, compute=compute) for _ in range(3))
        steps(through, 2 * half)
        steps(first, half)
        saved = io.BytesIO()
        torch.save(first.state_dict(), saved)
        saved.seek(0)
        second.load_state_dict(torch.load(saved, map_location=bench.device, weights_only=True))
        steps(second, half)
        apart = max(float((value - second.state()[name]).abs().max()) for name, value in through.state().items())
    finally:
        ComputeSettings().apply(torch.get_num_threads())
    yield Row("largest difference after a checkpoint", apart, "", apart == 0.0)


def too_large(bench: Bench) -> Iterator[Row]:
    """A batch that does not fit is an out-of-memory error that trials know, and leaves the device usable."""
    if not bench.cuda:
        yield Row("a batch that does not fit", "needs CUDA")
        return
    from sldd.ops.memory import out_of_memory

    known = False
    try:
        torch.empty(2 * torch.cuda.mem_get_info(bench.device)[1], dtype=torch.uint8, device=bench.device)
    except RuntimeError as error:
        known = out_of_memory(error)
    usable = bool(torch.ones(8, device=bench.device).sum() == 8)
    yield Row("a batch that does not fit is met", "yes" if known and usable else "no", "", known and usable)


def tests(bench: Bench) -> Iterator[Row]:
    """The tests that need a GPU."""
    if not bench.cuda or bench.quick:
        yield Row("pytest -m gpu", "needs CUDA, and no --quick")
        return
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-n", "0"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    yield Row("pytest -m gpu", (done.stdout.strip().splitlines() or ["no output"])[-1], "", done.returncode == 0)
