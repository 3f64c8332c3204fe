"""Timing of an outer step on this machine, and the expected seconds of a trial."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from sldd.backbones.init import initialise
from sldd.pipeline.refusal import why_not
from sldd.rng import stream
from sldd.training.fresh_start import BATCH
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import Training
from study.config.methods import METHODS
from study.config.schema import StudyConfig
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.trial.network import build_network, mixed_bodies

_PASS_SECONDS = 1.0
"""On a CPU, a network whose forward pass takes longer is timed with fewer patches: each takes as long."""
_FEW = 8


@dataclass(frozen=True)
class StepTime:
    """Seconds of one outer step's parts on this machine, at the study's input and batch size."""

    batch: float
    """Drawing a batch of real images, augmented where the method augments."""
    plain: float
    """The pass over that batch: a step of ordinary training."""
    inner: float
    """What else a step takes: one inner step and its adjoint, or what its method has instead."""
    forward: float
    """Scoring one image, cropping included."""


class StepClock:
    """Times of outer steps on this machine.

    Each network is timed with the fewest and with the most images that it is to have. Between the two, the inner part
    is interpolated linearly.

    Args:
        cells: those that will be asked for, as far as shapes do not refuse them.
    """

    def __init__(self, cells: Iterable[Cell], config: StudyConfig) -> None:
        self._config = config
        self._known: dict[tuple[object, ...], StepTime | str] = {}
        counts: dict[tuple[object, ...], set[int]] = defaultdict(set)
        for cell in cells:
            if cell.images is not None:
                counts[_network(cell)].add(cell.images)
        self._counts = {network: sorted(found) for network, found in counts.items()}

    def time(self, cell: Cell, outer: OuterSettings, data: TaskData) -> StepTime | str:
        """As ``time_step``, of a cell like this one."""
        counts = self._counts.get(_network(cell), [])
        while cell.images in counts:
            fewest, most = (self._measured(replace(cell, images=counts[end]), outer, data) for end in (0, -1))
            if not isinstance(fewest, str) and not isinstance(most, str):
                share = (cell.images - counts[0]) / max(1, counts[-1] - counts[0])
                return replace(fewest, inner=fewest.inner + share * (most.inner - fewest.inner))
            if isinstance(fewest, str) and isinstance(most, str):
                return fewest if cell.images == counts[0] else most
            counts.pop(0 if isinstance(fewest, str) else -1)  # the others may run, as more than one with batch norm do
        return self._measured(cell, outer, data)

    def _measured(self, cell: Cell, outer: OuterSettings, data: TaskData) -> StepTime | str:
        key = (*_network(cell), cell.images, outer.batch_size)
        if key not in self._known:
            self._known[key] = time_step(cell, self._config, outer, data)
        return self._known[key]

    def close(self) -> None:
        """Give back what the timed networks took on a GPU: it is for the trials."""
        if torch.cuda.is_initialized():
            gc.collect()
            torch.cuda.empty_cache()


def _network(cell: Cell) -> tuple[object, ...]:
    """What cells have in common whose steps take as long, but for their images."""
    return cell.backbone, cell.norm, cell.method, mixed_bodies(cell)


def time_step(cell: Cell, config: StudyConfig, outer: OuterSettings, data: TaskData) -> StepTime | str:
    """One timed outer step after a warm-up; the reason, where the network cannot be distilled."""
    gpu = config.resources.gpus_per_trial != 0 and torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    side, method = data.input.side, METHODS[cell.method]
    count = outer.batch_size
    network = build_network(cell, data.input)
    initialise(network, config.seed)
    plain = Training(network, device=device, compute=config.compute, loss=data.loss)
    # One inner step, whatever the cell has: what it takes is multiplied.
    one = replace(cell, distill_steps=cell.distill_steps and 1, distill_epochs=cell.distill_epochs and 1)
    spec = TrialSpec(one, "search", config.seed, outer_lr=1e-4, inner_lr=0.02)
    config = method.timed(config)
    drawn = data.augmented(config.augment) if method.augments(config.augment) else data.batches
    draw_time, (patch, classes) = _timed(lambda number: drawn.draw(stream(0, "plan", number), count))
    patch, classes = patch.to(device), classes.to(device)
    try:
        with torch.no_grad():
            weights, few = plain.weights(plain.state()), patch[:_FEW]
            quick, values = _timed(lambda _: plain.forward(weights, few))
            if not torch.allclose(values, plain.forward(weights, few), rtol=1e-3, atol=1e-3):
                return f"{cell.backbone} draws random numbers in training mode; its start would not be reproducible"
            if device.type == "cpu" and quick / len(few) * count > _PASS_SECONDS:
                patch, classes = few, classes[:_FEW]
            forward, _ = _timed(lambda _: plain.forward(weights, patch))
        scale = count / len(patch)
        plain_time, _ = _timed(lambda _: plain.step(patch, classes, 1e-4))
        inner = 0.0
        if cell.images is not None:
            learner = method.learner(spec, network, data, config, device)
            inputs = learner.inputs(patch)
            whole, _ = _timed(lambda _: learner.step(inputs, classes, 1e-4))
            inner = max(0.0, whole - plain_time) if inputs is patch else whole
    except Exception as error:
        return why_not(error, cell.backbone, cell.images, side)
    cut_time = draw_time
    if drawn is not data.batches:  # what is scored is not changed
        cut_time, _ = _timed(lambda number: data.batches.draw(stream(0, "plan", number), count))
    # What an inner step takes depends on the distilled images, not on the batch.
    return StepTime(draw_time, scale * plain_time, inner, (scale * forward + cut_time) / count)


def _timed(work: Callable[[int], Any]) -> tuple[float, Any]:
    """Seconds of the second of two calls, and its value; ``work`` is given 0 and 1."""
    work(0)
    _wait_for_gpu()
    begun = time.perf_counter()
    value = work(1)
    _wait_for_gpu()
    return time.perf_counter() - begun, value


def _wait_for_gpu() -> None:
    """Until it has done what it was told, where something is on one."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def trial_seconds(cell: Cell, step: StepTime, config: StudyConfig, outer: OuterSettings, data: TaskData) -> float:
    """Expected seconds of a trial, from the parts of its outer steps and what it scores.

    Where features are kept, a start's first trial is counted; those after it find them.
    """
    inner = outer.steps * step.inner * METHODS[cell.method].timed_steps(cell)
    scored, measured = data.scored(cell), outer.statistics_batches * outer.batch_size
    if cell.images is not None and config.distill.inner_weights == "head":
        kept = min(config.distill.feature_bank, outer.steps * outer.batch_size)
        looks = 1 if config.resources.feature_cache else outer.evaluations + 1
        return inner + (kept + measured + looks * scored) * step.forward
    seconds = inner + outer.steps * (step.batch + step.plain)
    return seconds + (scored + measured) * step.forward * (outer.evaluations + 1)


def fresh_seconds(
    cell: Cell, networks: Iterable[StepTime | str], config: StudyConfig, outer: OuterSettings, data: TaskData
) -> float:
    """Expected seconds that a confirm trial takes besides, for fresh starts of networks: of those that can be timed."""
    rows = min(BATCH, (cell.images or 0) * (cell.distill_steps or 1))
    validated, tested = len(data.split.validation), len(data.split.test)
    scored = data.scored(cell) * (1 + tested / max(1, validated))
    return config.evaluate.starts * sum(
        config.evaluate.steps * step.plain * rows / outer.batch_size + scored * step.forward
        for step in networks
        if isinstance(step, StepTime)
    )
