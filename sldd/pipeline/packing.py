"""From the best state of a distillation to the package that a receiver gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sldd.backbones.own import GIVEN
from sldd.backbones.start import FILE_ENDINGS, PRETRAINED
from sldd.data.patches import PatchSettings
from sldd.distillation.image_learner import DistillSettings
from sldd.metrics.group_means import group_means
from sldd.ops.types import Precision
from sldd.package import Claims, Package, PackageSettings, Stored
from sldd.package.format.header import Header, Images
from sldd.package.format.image_encoding import stored
from sldd.package.format.signature import read_private, to_signed_bytes
from sldd.package.rebuild.rebuild import with_weights
from sldd.package.rebuild.self_test import with_self_test
from sldd.pipeline.task_data import TaskData
from sldd.training.outer_loop import Best


@dataclass(frozen=True)
class Start:
    """A network and its first weights, in what a receiver needs to make both again.

    Attributes:
        backbone, norm: of the network.
        source: of its weights, as ``sldd.backbones.start.set_start`` takes it.
        seed: of those that are drawn.
        fingerprints: of the start, by layer.
        own: the module, where it is a user's own network.
    """

    backbone: str
    norm: str
    source: str
    seed: int
    fingerprints: dict[str, str]
    own: nn.Module | None = None


def store_images(best: Best, settings: PackageSettings) -> tuple[torch.Tensor, Stored]:
    """Replace the images of the best state by those that a receiver gets, so that these are what is scored.

    Returns:
        The images as they were, and what storing them cost.
    """
    original = best.state["images"]
    received, cost = stored(original.detach().cpu().numpy(), settings.images)
    if settings.images != "float32":
        best.state = best.state | {"images": torch.from_numpy(received).to(original.device)}
    return original.detach().cpu(), cost


def claims(
    data: TaskData,
    validation: Mapping[str, Any],
    test: Mapping[str, Any] | None,
    *,
    images: Images,
    paper: bool = False,
    fold: int | None = None,
) -> Claims:
    """What a package claims of its best state, from ``sldd.metrics.evaluators.Scores.describe``.

    Args:
        validation: of the patients on which the state was chosen.
        test: of patients that nothing was chosen on, where they were scored.
        images: format of the distilled images that this was measured with (``PackageSettings.images``).
        paper: whether the state was chosen on the test patients, at a threshold of 0.4 (Li et al. 2022).
        fold: which of several rotating parts was tested.
    """
    return Claims(
        protocol="paper" if paper else "validation",
        validation=data.claim(validation),
        test=None if test is None else data.claim(test),
        fold=fold,
        images=images,
    )


def package_of(
    best: Best,
    header: Header,
    *,
    stored: Stored,
    claims: Claims | None = None,
) -> Package:
    """The package of a best state whose images are stored as of ``store_images``, without weights and self-test.

    Args:
        header: as of ``header_of``.
    """
    state = on_cpu(best.state)
    return Package(
        **vars(replace(header, stored=stored, claims=claims)),
        images=state["images"],
        labels=state["labels"],
        rates=state["rates"],
        theta_bn=on_cpu(best.theta_bn),
    )


def header_of(
    start: Start,
    data: TaskData,
    *,
    distill: DistillSettings,
    inner_precision: Precision,
    patches: PatchSettings,
    delta: float | None,
) -> Header:
    """What a package says that is known before anything is learned: all but what its best state is and scores."""
    return Header(
        inner_weights=distill.inner_weights,
        momentum=distill.inner_momentum,
        inner_precision=inner_precision,
        backbone=start.backbone,
        norm=start.norm,  # type: ignore[arg-type]
        start=Path(start.source).name,
        seed=start.seed,
        start_fingerprints=start.fingerprints,
        mean=data.input.mean,
        deviation=data.input.std,
        depth=data.cohort.depth,
        patches=patches,
        delta=delta,
        channels=data.input.channels,
        classes=data.input.classes,
        exclusive=data.input.exclusive,
        slice=data.cohort.slice,
        sides=group_means(_sides(data)),
        film_size=data.cohort.film_size,
    )


def _sides(data: TaskData) -> list[float]:
    """Mean shorter side of a patient's films, in pixels, for each training patient who has any."""
    cohort = data.cohort
    by_patient = [[min(cohort.shapes[film]) for film in cohort.films_of[patient]] for patient in data.split.train]
    return [sum(sides) / len(sides) for sides in by_patient if sides]


def complete(package: Package, start: Start, original: torch.Tensor, *, weights: bool) -> Package:
    """The package with its self-test, and with the start where ``weights`` are asked for or nobody could make it.

    Args:
        original: the images before they were stored.
    """
    # Only these are looked up; other starts follow from the package's seed, or are in it.
    from_outside = start.source == PRETRAINED or start.source.endswith(FILE_ENDINGS)
    source = start.source if from_outside else None
    if start.source == GIVEN and start.own is not None:
        package = replace(package, weights=on_cpu(dict(start.own.named_parameters())))
    elif weights:
        package = with_weights(package, source, start.own)
    before = None if package.stored.images == "float32" else original
    return with_self_test(package, source, before, start.own)


def to_file(package: Package, settings: PackageSettings) -> bytes:
    """The content of a package's file, signed where there is a key."""
    if settings.key is None:
        return package.to_bytes()
    return to_signed_bytes(package.to_container(), read_private(Path(settings.key)), settings.signer)


def on_cpu(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies of a state's tensors for a package."""
    return {name: value.detach().cpu().float() for name, value in state.items()}
