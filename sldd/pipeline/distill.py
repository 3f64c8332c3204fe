"""One distillation in one call: a network, a cohort, and the settings that a study has too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from sldd.backbones.init import layer_fingerprints
from sldd.backbones.own import GIVEN, own_name, own_network
from sldd.backbones.registry import build
from sldd.backbones.start import NEAR_LINEAR
from sldd.data.cohort import Cohort
from sldd.data.patches import PatchSettings
from sldd.data.split import SplitSettings, split_patients
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import DistillSettings
from sldd.errors import InputError
from sldd.io.film import SPLITS
from sldd.ops.types import InputSpec, TaskName
from sldd.package import Package, PackageSettings
from sldd.package.format.header import Header
from sldd.package.format.package import too_many
from sldd.package.rebuild.rebuild import set_start
from sldd.pipeline.distilled import Distilled
from sldd.pipeline.packing import Start, claims, complete, header_of, package_of, store_images
from sldd.pipeline.progress import progress
from sldd.pipeline.refusal import why_not
from sldd.pipeline.task_data import TaskData, check_labels, task_data, task_of
from sldd.training.compute import ComputeSettings
from sldd.training.outer_loop import OuterLoop
from sldd.training.outer_settings import OuterSettings

_FINDINGS = DistillSettings(labels="sigmoid")


def distill(
    network: str | nn.Module,
    cohort: Cohort,
    *,
    images: int = 3,
    distill_steps: int = 1,
    distill_epochs: int = 1,
    label_init: str | None = None,
    norm: str = "as_is",
    start: Path | str = NEAR_LINEAR,
    outer_lr: float = 0.03,
    inner_lr: float = 0.02,
    patches: PatchSettings = PatchSettings(),
    distill: DistillSettings | None = None,
    outer: OuterSettings = OuterSettings(),
    compute: ComputeSettings = ComputeSettings(),
    package: PackageSettings = PackageSettings(),
    split: SplitSettings = SplitSettings(),
    seed: int = 0,
    confirm: bool = False,
    device: torch.device | str = "cpu",
    show_progress: bool | None = None,
) -> Distilled:
    """Distil a cohort's training patients; the best state is chosen on its validation patients.

    What networks are asked follows from the cohort: patients by their patches (masks), the class of whole images, or
    their findings. ``study.run`` searches rates and compares networks.

    Args:
        network: a backbone's name, as of ``grid.backbone``; or any module from (batch, channels, side, side) to (batch,
            classes), of which a copy is used.
        images: M, of each step.
        distill_steps, distill_epochs: S and E.
        label_init: as of ``grid.label_init``; the task's usual one unless given.
        norm: as of ``grid.norm``.
        start: as of ``grid.start``; or ``given``, the weights that a module has, which are then in the package.
        outer_lr, inner_lr: rates of images, and where the inner rates start (``distill.rate_unit``).
        patches, distill, outer, compute, package, split: as in a study; of whole images, ``patches.input_size`` counts.
        seed: of the start and of everything that is drawn.
        confirm: score the best state on test patients as well, and claim that in the package: once, when all is chosen.
            Without it there need be no test patients (``SplitSettings(test=0)``).
        device: where the network runs.
        show_progress: whether a bar is drawn; None for in terminals and notebooks.

    Raises:
        InputError: a setting, the network or the cohort cannot be used; the message says what to do.
        sldd.training.outer_loop.DivergedError: values are not finite; try smaller rates.
    """
    task, device = task_of(cohort), _device(device)
    settings = distill or (_FINDINGS if task == "multilabel" else DistillSettings())
    check_labels(task, [settings.labels])
    _check_counts(images=images, distill_steps=distill_steps, distill_epochs=distill_epochs)
    _check_numbers(seed, outer_lr=outer_lr, inner_lr=inner_lr)
    outer.check()
    compute.apply(torch.get_num_threads())
    needed = SPLITS if confirm else ("train", "validation")
    data = task_data(cohort, patches, split_patients(cohort, split, needed))
    if (few := data.batch_refusal(outer.batch_size)) is not None:
        raise InputError(few)
    label_init = _label_start(label_init, data.label_starts, task)
    built, origin = _started(network, data.input, norm, str(start), seed)
    header = _checked_header(origin, data, task, settings, compute, patches)
    labels = data.initial_labels(label_init, images, seed)
    try:
        learner = Distillation(
            built,
            data.initial_images(settings.image_init, labels, distill_steps, seed),
            labels,
            epochs=distill_epochs,
            inner_lr=inner_lr,
            settings=settings,
            compute=compute,
            track_statistics=outer.statistics == "exponential",
            loss=data.loss,
            seed=seed,
            device=device,
        )
        loop = OuterLoop(
            learner,
            data.evaluator(),
            data.batches,
            data.split,
            outer.over(data.size),
            rate=outer_lr,
            seed=seed,
            device=device,
        )
        _improve(loop, show_progress)
    except (InputError, ArithmeticError):
        raise
    except (AssertionError, RuntimeError, ValueError) as error:  # a network, of its input or of second derivatives
        raise InputError(why_not(error, origin.backbone, images, data.input.side)) from error
    made = _packed(loop, header, origin, data, package, confirm=confirm)
    return Distilled(made, loop.progress.history, origin.own, data)


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"grid.{name}: should be greater than or equal to 1 (got {value})")
    if (asked := too_many(counts["distill_epochs"], counts["distill_steps"], counts["images"])) is not None:
        raise InputError(f"grid.distill_epochs x grid.distill_steps x grid.images: {asked}; set them lower")


def _check_numbers(seed: int, **rates: float) -> None:
    if seed < 0:
        raise InputError(f"seed: should be greater than or equal to 0 (got {seed})")
    for name, value in rates.items():
        if not 0 < value < math.inf:
            raise InputError(f"{name}: should be finite and greater than 0 (got {value:g})")


def _checked_header(
    start: Start,
    data: TaskData,
    task: TaskName,
    settings: DistillSettings,
    compute: ComputeSettings,
    patches: PatchSettings,
) -> Header:
    """The package's header, but for the threshold; what could not stand in it is refused before the work."""
    precision, delta = compute.inner_precision, 0.5 if task == "patches" else None
    header = header_of(start, data, distill=settings, inner_precision=precision, patches=patches, delta=delta)
    try:
        header.header()
    except InputError as error:
        raise InputError(f"no package could be made: {error}") from None
    return header


def _label_start(asked: str | None, known: Sequence[str], task: str) -> str:
    """The start of soft labels that is asked for, or the task's usual one."""
    if asked is not None and asked not in known:
        raise InputError(f"grid.label_init: {asked} is no start of task {task}; choose from {', '.join(known)}")
    return asked or known[0]


def _started(network: str | nn.Module, spec: InputSpec, norm: str, start: str, seed: int) -> tuple[nn.Module, Start]:
    """The network at its start, and what a receiver makes it of."""
    classes = len(spec.classes)
    if isinstance(network, str):
        if start == GIVEN:
            raise InputError("grid.start: given is for a module of your own, which has weights")
        own, name = None, network
        built = build(name, input_size=spec.side, norm=norm, channels=spec.channels, classes=classes)
    elif isinstance(network, nn.Module):
        own, name = network, own_name(network)
        built = own_network(network, spec)
        if norm != "as_is":
            raise InputError("grid.norm: a module of your own stays as it is; leave it out")
    else:
        raise InputError(f"network: {type(network).__name__} is neither a backbone's name nor a torch.nn.Module")
    if start != GIVEN:
        set_start(built, backbone=name, start=start, seed=seed, norm=norm, classes=spec.classes)
    return built, Start(name, norm, start, seed, layer_fingerprints(built), own)


def _improve(loop: OuterLoop, shown: bool | None) -> None:
    """Take all outer steps."""
    try:
        with progress(loop.settings.steps, shown) as done:
            while not loop.finished:
                loss = loop.advance()
                done(f"loss {loss:.3f}" + (f", score {loop.best.score:.3f}" if loop.best else ""))
    finally:
        loop.close()


def _packed(
    loop: OuterLoop,
    header: Header,
    origin: Start,
    data: TaskData,
    package: PackageSettings,
    *,
    confirm: bool,
) -> Package:
    """The best state's package, with what it claims; test patients are scored where it is to ``confirm``."""
    best = loop.best
    assert best is not None  # the last step is evaluated
    original, stored = store_images(best, package)
    names = [str(patient) for patient in range(data.cohort.patients)]  # claims are counts and scores, and keep none
    validation = loop.score(data.split.validation)
    delta = validation.threshold
    tested = loop.score(data.split.test).describe(names, delta) if confirm else None
    made = package_of(
        best,
        replace(header, delta=delta),
        stored=stored,
        claims=claims(data, validation.describe(names, delta), tested, images=stored.images),
    )
    return complete(made, origin, original, weights=package.weights)


def _device(device: torch.device | str) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError:
        raise InputError(f"device: there is no {device!r}; use cpu or cuda") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: PyTorch {torch.__version__} finds no CUDA GPU here; use cpu")
    if found.type not in ("cpu", "cuda"):
        raise InputError(f"device: distillations run on cpu or cuda, not on {found.type}")
    return found
