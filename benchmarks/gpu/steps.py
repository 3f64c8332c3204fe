"""Outer steps against plain ones by network, precision and layout, and as CUDA graphs; memory by inner steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.gpu.bench import Bench, Row, tf32
from benchmarks.speed.steps import Problem
from sldd.training.compute import ComputeSettings

# Side, real patches a step, classes, distilled images a step.
_FULL = {
    "lenet": (28, 256, 10, 10),
    "resnet18 64 px": (64, 96, 3, 3),
    "resnet18": (224, 96, 3, 3),
    "resnet50": (224, 96, 3, 3),
    "vgg16": (224, 96, 3, 3),
    "densenet121": (224, 96, 3, 3),
    "vit_small_patch16_224": (224, 96, 3, 3),
}
_QUICK = {"lenet": (28, 12, 10, 10), "test_resnet": (32, 6, 3, 3)}
_PRECISIONS = ("float32", "TF32", "bfloat16")


def problem(bench: Bench, name: str) -> Problem:
    """The problem of a row, on the bench's device."""
    side, batch, classes, images = (_QUICK if bench.quick else _FULL)[name]
    return Problem(name.split()[0], side=side, batch=batch, classes=classes, images=images, device=bench.device)


def outer_steps(bench: Bench) -> Iterator[Row]:
    """Time of outer steps in milliseconds, and in plain steps of the same precision and layout."""
    modes = [("float32", False)] if bench.quick else list(itertools.product(_PRECISIONS, (False, True)))
    for name, (precision, channels_last) in itertools.product(_QUICK if bench.quick else _FULL, modes):
        half = precision == "bfloat16"
        compute = ComputeSettings(precision="bfloat16" if half else "float32", channels_last=channels_last)
        row = f"{name}, {precision}{', channels last' if channels_last else ''}"
        with tf32(precision == "TF32"):
            case = problem(bench, name)
            outer = bench.milliseconds(case.distilling(compute=compute))
            plain = bench.milliseconds(case.plain(compute))
        yield Row(row, outer, "ms an outer step")
        target = 1.25 if (name, precision, channels_last) == ("resnet18 64 px", "float32", False) else None
        yield Row(row, outer / plain, "plain steps", None if target is None else outer / plain <= target)


def memory(bench: Bench) -> Iterator[Row]:
    """The most that an outer step takes, by its inner steps, with their graphs kept and recomputed."""
    name = "test_resnet" if bench.quick else "resnet18"
    for epochs in (1, 3) if bench.quick else (1, 3, 9, 27):
        for kept in ("keep", "recompute"):
            compute = ComputeSettings(memory="keep" if kept == "keep" else "recompute")
            work = problem(bench, name).distilling(epochs=epochs, compute=compute)
            yield Row(f"{name}, {epochs} inner steps, {kept}", bench.peak_mib(work), "MiB")


def graphs(bench: Bench) -> Iterator[Row]:
    """An outer step launched as one CUDA graph against the same step launched kernel by kernel."""
    if not bench.cuda:
        yield Row("outer steps as CUDA graphs", "needs CUDA")
        return
    for name in _QUICK if bench.quick else ("lenet", "resnet18 64 px", "resnet50"):
        launched, graphed = (
            bench.milliseconds(problem(bench, name).distilling(compute=compute), warm=5)
            for compute in (ComputeSettings(memory="keep"), ComputeSettings(memory="keep", cuda_graph=True))
        )
        yield Row(f"{name}, as a graph", graphed, "ms an outer step")
        times = launched / graphed
        yield Row(f"{name}: launched / as a graph", times, "x", times >= 3 if name == "lenet" else None)
