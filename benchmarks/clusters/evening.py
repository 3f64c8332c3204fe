"""Plan the papers' experiments at full width on one GPU: cells, trials, outer steps, hours.

    python -m benchmarks.clusters.evening                  # by operations counted, at an assumed speed
    python -m benchmarks.clusters.evening --measure        # on a GPU: by steps that are taken on it
    python -m benchmarks.clusters.evening table5 search.trials=1 confirm.repeats=1 outer.evaluations=2 --epochs 4

The model is the dry run's own (``study.planning.step_time.trial_seconds``) with the papers' cohort: 136,297 training
patches of 224 pixels, and 615 patients with 1,225 patches each, whom the papers' protocol scores at each evaluation.
Without a GPU a step's time is its floating-point operations by ``--tflops``: 20, a third of the 67 that NVIDIA's data
sheet gives an H100 SXM in float32. That third is assumed, not measured. Batches are taken to be cut ahead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.gpu.bench import Bench
from benchmarks.speed.steps import Problem
from sldd.backbones.norms import keep_no_statistics
from sldd.backbones.registry import build
from sldd.errors import InputError
from sldd.ops.windows import window_starts
from sldd.training.compute import ComputeSettings
from study.config.cells import cells
from study.config.loader import load
from study.config.methods import METHODS
from study.grid.axes import Cell
from study.planning.plan import confirm_settings
from study.planning.step_time import StepTime, trial_seconds

TABLES = [f"table{number}" for number in range(1, 7)]
_SIDE, _CLASSES = 224, 3
"""Pixels of a patch as networks see it, and its classes."""
_FILM, _PATIENTS = 2048, 615
"""Pixels of a radiograph's side, and patients who are scored at an evaluation."""


@dataclass(frozen=True)
class PaperData:
    """What ``trial_seconds`` asks of a task's data, for the papers' cohort."""

    size: int = 136_297
    """Training patches."""

    def scored(self, cell: Cell) -> int:
        """Patches, or whole radiographs, that an evaluation scores."""
        return _PATIENTS * (1 if cell.train_view == "whole" else len(window_starts(_FILM, 299, 50)) ** 2)


class Operations(TorchDispatchMode):
    """Counts floating-point operations inside a ``with`` block, a multiplication and an addition being two.

    PyTorch's own counter follows modules, which ``torch.autograd.grad`` on their parameters does not allow.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by PyTorch for every operation."""
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of a call."""
    with Operations() as counter:
        work()
    return counter.total


@cache
def counted(backbone: str, norm: str, images: int, batch: int) -> tuple[int, int, int]:
    """Operations of a plain step, of an inner step with its adjoint, and of scoring a patch; from shapes alone.

    A plain step is the gradient of the weights on a batch of real patches, an inner step that on the distilled images.
    The adjoint is the product of a vector with that gradient's derivatives by images and weights.
    """
    with torch.device("meta"):  # tensors have shapes and no values
        network = build(backbone, input_size=_SIDE, norm=norm, classes=_CLASSES)
        keep_no_statistics(network)
        network.train()
        weights = list(network.parameters())
        real, distilled = torch.empty(batch, 1, _SIDE, _SIDE), torch.empty(images, 1, _SIDE, _SIDE, requires_grad=True)
        truth, soft = torch.empty(batch, dtype=torch.int64), torch.empty(images, _CLASSES)

    def inner() -> object:
        gradient = torch.autograd.grad(F.cross_entropy(network(distilled), soft), weights, create_graph=True)
        # Any vector does for the product; the gradient itself has the right shapes.
        product = torch.stack([(part * part.detach()).sum() for part in gradient]).sum()
        return torch.autograd.grad(product, [distilled, *weights], allow_unused=True)

    plain = operations(lambda: torch.autograd.grad(F.cross_entropy(network(real), truth), weights))
    with torch.no_grad():
        forward = operations(lambda: network(real)) // batch
    return plain, operations(inner), forward


@cache
def measured(backbone: str, images: int, batch: int) -> StepTime:
    """Seconds of steps that are taken on the GPU; scoring a patch is taken for a third of a plain step on it."""
    bench = Bench(torch.device("cuda"))
    case = Problem(backbone, side=_SIDE, batch=batch, classes=_CLASSES, images=images, device=bench.device)
    plain = bench.milliseconds(case.plain()) / 1000
    whole = bench.milliseconds(case.distilling(compute=ComputeSettings(memory="keep"))) / 1000
    return StepTime(0.0, plain, max(0.0, whole - plain), plain / batch / 3)


def plan(
    table: str, settings: Sequence[str], epochs: int | None, step_time: Callable[[Cell, int], StepTime]
) -> tuple[int, int, int, float]:
    """Cells, trials, outer steps and hours of an experiment, at most.

    Args:
        table: one of ``TABLES``.
        settings: other settings than the table's.
        epochs: passes over the training patches; None for the papers'.
        step_time: times of a cell's steps, by its batch size.
    """
    config, data = load(table, ["data.root=/", *settings]), PaperData()
    found = cells(config.grid, config.confirm.folds, config.task)
    trials = steps = 0
    hours = 0.0
    for cell in found:
        outer = METHODS[cell.method].outer_settings(config, data.size, epochs or cell.epochs)
        step = step_time(cell, outer.batch_size)
        seconds = trial_seconds(cell, step, config, outer, data)  # type: ignore[arg-type]
        count = config.search.trials + confirm_settings(config, cell).repeats
        trials += count
        steps += count * outer.steps
        hours += count * seconds / 3600
    return len(found), trials, steps, hours


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.clusters.evening``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clusters.evening",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="TABLE | KEY=VALUE", help=f"{', '.join(TABLES)}; and any settings")
    parser.add_argument(
        "--epochs", type=int, help="passes over the training patches; the papers' 400 and 200 if not given"
    )
    parser.add_argument("--tflops", type=float, default=20.0, help="million million operations a second")
    parser.add_argument("--measure", action="store_true", help="take steps on this machine's GPU")
    options = parser.parse_intermixed_args(arguments)
    tables = [word for word in options.words if "=" not in word] or TABLES
    settings = [word for word in options.words if "=" in word]
    if options.measure and not torch.cuda.is_available():
        print(
            f"benchmarks.clusters.evening: PyTorch {torch.__version__} finds no GPU here; leave --measure out",
            file=sys.stderr,
        )
        return 2

    def step_time(cell: Cell, batch: int) -> StepTime:
        if options.measure:
            return measured(cell.backbone, cell.images or 1, batch)
        plain, inner, forward = counted(cell.backbone, cell.norm, cell.images or 1, batch)
        rate = options.tflops * 1e12
        return StepTime(0.0, plain / rate, inner / rate, forward / rate)

    speed = torch.cuda.get_device_name() if options.measure else f"{options.tflops:g} TFLOP/s, assumed"
    print(f"| experiment | cells | trials | outer steps | GPU hours ({speed}) | a trial, h |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for table in tables:
        try:
            count, trials, steps, hours = plan(table, settings, options.epochs, step_time)
        except InputError as error:
            print(f"benchmarks.clusters.evening: {error}", file=sys.stderr)
            return 2
        print(f"| {table} | {count} | {trials} | {steps:,} | {hours:,.0f} | {hours / trials:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
