"""What a study will cost, and which cells cannot be run, before anything runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sldd.backbones import build, check_name, parameter_count
from sldd.distill import Distillation
from sldd.errors import InputError
from sldd.estimate import needs
from sldd.initialise import initialise
from sldd.loss import LOSSES
from sldd.outer import OuterSettings
from sldd.patches import BalancedBatches, Patches, window_starts
from sldd.privacy import check_accountant, refusal
from sldd.split import Split
from sldd.start import XAVIER, copy_weights, read_weights, start_of
from sldd.streams import stream
from sldd.train import Training
from study.config import StudyConfig
from study.grid import Cell
from study.methods import Batches, Seen


@dataclass(frozen=True)
class StepTime:
    """Seconds of one outer step's parts on this machine, at the study's input and batch size."""

    batch: float
    plain: float
    inner: float
    """One inner step and its adjoint."""
    forward: float
    """A patch at scoring time, cropping included."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell, its network's size, and either the reason it is refused or what a trial is expected to take."""

    cell: Cell
    parameters: int | None
    refused: str | None
    seconds: float | None


def plan_cells(
    cells: list[Cell],
    config: StudyConfig,
    seen: Seen,
    split: Split,
    batches: Batches,
    *,
    timed: set[Cell],
    memory: int | None,
) -> list[PlannedCell]:
    """Check every cell and, for those in ``timed``, measure one outer step a backbone.

    Args:
        memory: bytes that a trial can have; None where the machines are not known.

    Raises:
        InputError: a backbone's name is unknown, or what a private study needs is not installed.
    """
    for backbone in dict.fromkeys(cell.backbone for cell in cells):
        check_name(backbone)
    if config.privacy.noise is not None:
        check_accountant()
    config.compute.apply(config.resources.threads)

    clocks: dict[tuple[str, str, bool, int | None], StepTime | str] = {}
    checked: dict[Cell, tuple[int | None, str | None]] = {}

    planned = []
    for cell in cells:
        outer = cell_budget(config, cell, batches)
        shapes = replace(cell, label_init=None, fold=None, counted=False)  # these change no shape
        if config.privacy.noise is None:
            shapes = replace(shapes, method="sldd")  # nor does this, but it may have no private version
        if shapes not in checked:
            checked[shapes] = _check(cell, config, outer, memory, len(batches.classes))
        parameters, refused = checked[shapes]
        if refused is None and cell.train_patches is not None and isinstance(batches, BalancedBatches):
            refused = _too_few(cell, batches)
        seconds = None
        if refused is None and cell in timed:
            # One image is timed apart: it is the one that batch norm may refuse.
            key = (cell.backbone, cell.norm, cell.method == "train", 1 if cell.images == 1 else None)
            if key not in clocks:
                clocks[key] = _time_step(cell, config, outer, batches)
            step = clocks[key]
            if isinstance(step, str):
                refused = step
            else:
                seconds = _trial_seconds(cell, step, config, outer, seen, split)
        planned.append(PlannedCell(cell, parameters, refused, seconds))
    return planned


def cell_budget(config: StudyConfig, cell: Cell, batches: Batches) -> OuterSettings:
    """The outer loop's settings for a cell: its epochs as steps, and its method's own budget."""
    return config.train.budget(config.outer.over(batches.size, cell.epochs), cell.method)


def _too_few(cell: Cell, batches: BalancedBatches) -> str | None:
    try:
        batches.subset(stream(0, "plan"), classes=cell.train_classes or "INP", per_class=cell.train_patches)
    except InputError as error:
        return str(error)
    return None


def _check(
    cell: Cell, config: StudyConfig, outer: OuterSettings, memory: int | None, classes: int
) -> tuple[int | None, str | None]:
    """Parameters, and why the cell cannot be run, from shapes alone: nothing is allocated."""
    side = config.patches.input_size
    try:
        with torch.device("meta"):
            network = build(cell.backbone, input_size=side, norm=cell.norm, classes=classes)
    except InputError as error:
        return None, str(error)
    parameters = parameter_count(network)
    if cell.start != XAVIER:
        try:
            start = start_of(cell.backbone, cell.start, config.pretrained)
            weights = read_weights(cell.backbone, start)
            copy_weights(network, weights, where=Path(start).name, classes=classes)
        except InputError as error:
            return parameters, str(error)
    if config.privacy.noise is not None:
        inits = config.search.options.get("image_init", [config.distill.image_init])
        reason = refusal(network, cell.method, "real" if "real" in inits else "noise")
        if reason is not None:
            return parameters, reason
    try:
        wanted = _wanted(network, cell, config, outer)
    except NotImplementedError as error:
        if "derivative" in str(error):
            return parameters, _reason(error, cell, side)
        return parameters, None  # an operation without a shape-only version; the timed step will tell
    except Exception as error:  # whatever a network says about its input
        return parameters, _reason(error, cell, side)
    if memory is not None and wanted > memory:
        return parameters, (
            f"{cell.backbone} at {side} x {side} needs about {wanted / 2**30:.1f} GiB and a trial can have "
            f"{memory / 2**30:.1f} GiB here; lower resources.concurrent, outer.batch_size or patches.input_size, or "
            "set compute.micro_batch"
        )
    return parameters, None


def _wanted(network: nn.Module, cell: Cell, config: StudyConfig, outer: OuterSettings) -> int:
    """Bytes that a trial of a cell needs; the most of them, where what inner steps change is searched."""
    inner_steps = (cell.distill_steps or 0) * (cell.distill_epochs or 0)
    bank = min(config.distill.feature_bank, outer.steps * outer.batch_size)
    searched: list[Any] = ["all"]
    if inner_steps:
        searched = config.search.options.get("inner_weights", [config.distill.inner_weights])
    wanted = []
    for part in searched:
        need = needs(
            network,
            images=cell.images or 0,
            side=config.patches.input_size,
            batch=outer.batch_size,
            compute=config.compute,
            inner_weights=part,
            loss=LOSSES[config.task],
        )
        distilling = need.distilling(inner_steps, config.compute.memory, bank)
        wanted.append(distilling if inner_steps else need.training())
    return max(wanted)


def _reason(error: Exception, cell: Cell, side: int) -> str:
    if "more than 1 value per channel" in str(error):
        return (
            f"batch norm sees one value a channel: {cell.images} image a step and a last map of 1 x 1 at "
            f"{side} x {side}; use more images, a larger patches.input_size, or norm: group"
        )
    if isinstance(error, torch.OutOfMemoryError):
        return f"{cell.backbone} at {side} x {side}: out of memory; lower outer.batch_size or patches.input_size"
    if "derivative" in str(error):
        return f"{cell.backbone} cannot be differentiated twice: {_first_line(error)}"
    return f"{cell.backbone} at {side} x {side}: {_first_line(error)}"


def _time_step(cell: Cell, config: StudyConfig, outer: OuterSettings, batches: Batches) -> StepTime | str:
    """One timed outer step after a warm-up; the reason, where the network cannot be distilled."""
    gpu = config.resources.gpus_per_trial != 0 and torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    side = config.patches.input_size
    count = outer.batch_size
    network = build(cell.backbone, input_size=side, norm=cell.norm, classes=len(batches.classes))
    initialise(network, config.seed)
    loss = LOSSES[config.task]
    plain = Training(network, device=device, compute=config.compute, loss=loss)
    draw_time, (patch, classes) = _timed(lambda number: batches.draw(stream(0, "plan", number), count))
    patch, classes = patch.to(device), classes.to(device)
    try:
        with torch.no_grad():
            weights = plain.weights(plain.state())
            if not torch.allclose(plain.forward(weights, patch), plain.forward(weights, patch), rtol=1e-3, atol=1e-3):
                return f"{cell.backbone} draws random numbers in training mode; its start would not be reproducible"
            forward, _ = _timed(lambda _: plain.forward(weights, patch))
        plain_time, _ = _timed(lambda _: plain.step(patch, classes, 1e-4))
        inner = 0.0
        if cell.images is not None:
            learner = Distillation(
                network,
                torch.randn(1, cell.images, 1, side, side),
                torch.full((cell.images, len(batches.classes)), 1 / len(batches.classes)),
                inner_lr=0.02,
                settings=replace(config.distill, window=None),
                compute=config.compute,
                loss=loss,
                seed=0,
                device=device,
            )
            inputs = learner.inputs(patch)
            whole, _ = _timed(lambda _: learner.step(inputs, classes, 1e-4))
            inner = max(0.0, whole - plain_time) if inputs is patch else whole
    except Exception as error:
        return _reason(error, cell, side)
    return StepTime(draw_time, plain_time, inner, (forward + draw_time) / count)


def _timed(work):  # type: ignore[no-untyped-def]
    """(seconds of the second of two calls, its value); ``work`` is given 0 and 1."""
    work(0)
    begun = time.perf_counter()
    value = work(1)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun, value


def _trial_seconds(
    cell: Cell, step: StepTime, config: StudyConfig, outer: OuterSettings, seen: Seen, split: Split
) -> float:
    inner = step.inner * (cell.distill_steps or 0) * (cell.distill_epochs or 0)
    if cell.images is not None and config.distill.inner_weights == "head":
        kept = min(config.distill.feature_bank, outer.steps * outer.batch_size)
        seconds = kept * step.forward + outer.steps * inner
    else:
        seconds = outer.steps * (step.batch + step.plain + inner)
    films = [film for patient in split.validation for film in seen.cohort.films_of[patient]]
    crops = len(films)
    if isinstance(seen, Patches) and cell.train_view != "whole":
        crops = sum(_windows(seen, film) for film in films)
    evaluation = (crops + outer.statistics_batches * outer.batch_size) * step.forward
    return seconds + evaluation * (outer.evaluations + 1)


def _windows(patches: Patches, film: int) -> int:
    rows, columns = (
        len(window_starts(side, *patches.geometry(film, scoring=True))) for side in patches.cohort.shapes[film]
    )
    return rows * columns


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
