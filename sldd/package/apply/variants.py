"""Variants of a package: what a receiver may do otherwise than its recipe says.

as made
order: labels       every step's labels moved one image on (cannot run for one image)
order: steps        the steps' images and labels in the reverse order (cannot run for one step)
rate: mean          one mean rate in place of the learned ones (cannot run for a single rate)
rate: halved, rate: doubled
start: seed         other weights of its kind; theta_bn as in the package
backbone            another network of the same input from its own start; its theta_bn is measured on the distilled
                    images, since a receiver has no others
noise               on the distilled images, in shares of their standard deviation
labels: rounded     to 1 decimal, and to whole numbers
images: stored      as float16 and as 8 bit
theta_bn: dropped   a mean of 0 and a variance of 1 in every layer
theta_bn: receiver  measured anew on patches of the receiver's cohort (precise statistics)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from sldd.backbones.init import layer_fingerprints
from sldd.backbones.norms import (
    batch_norms,
    even_batches,
    keep_no_statistics,
    load_statistics,
    measure_statistics,
    statistics,
)
from sldd.backbones.registry import build
from sldd.backbones.start import SEEDED, XAVIER, set_start
from sldd.errors import InputError
from sldd.ops.windows import Window
from sldd.package.apply.films import Patient
from sldd.package.apply.scoring import film_patches
from sldd.package.format.image_encoding import stored
from sldd.package.format.package import Package
from sldd.package.rebuild.rebuild import rebuild, started, take_steps
from sldd.rng import stream

NOISE = (0.01, 0.1, 0.5)
"""Standard deviations of the noise on distilled images, in shares of theirs."""
_STATISTICS_PATCHES = 512
"""Most patches of the receiver's cohort that batch-norm statistics are measured on."""

Builder = Callable[[], nn.Module]
"""Makes a variant's network; an InputError says why it cannot run."""


class Variant(NamedTuple):
    """A variant, and how its network is made.

    Attributes:
        name: what was done.
        level: how much, or which.
        network: makes the network when it is its turn.
        note: what else is to be known of it.
    """

    name: str
    level: str
    network: Builder
    note: str = ""


def variants(
    package: Package, patients: Sequence[Patient], start: Path | str | None, seeds: int, backbones: Sequence[str]
) -> Iterator[Variant]:
    """The variants, the package as it was made first; arguments as of ``fragility``."""

    def of(**changed: object) -> Builder:
        return lambda: rebuild(replace(package, **changed), start)  # type: ignore[arg-type]

    labels, rates, images = package.labels, package.rates, package.images
    yield Variant("as made", "", of())
    moved = of(labels=labels.roll(1, 1))
    yield Variant("order: labels", "", moved if images.shape[1] > 1 else _cannot("there is one image in a step"))
    reverse = of(images=images.flip(0), labels=labels.flip(0))
    yield Variant("order: steps", "", reverse if len(images) > 1 else _cannot("there is one step"))
    rate = float(rates.mean())
    mean = of(rates=torch.full_like(rates, rate))
    yield Variant("rate: mean", f"{rate:.4g}", mean if rates.numel() > 1 else _cannot("there is a single rate"))
    yield Variant("rate: halved", "", of(rates=rates / 2))
    yield Variant("rate: doubled", "", of(rates=rates * 2))
    for seed in range(seeds):
        yield Variant("start: seed", str(seed), _other_seed(package, seed))
    for name in backbones:
        if name != package.backbone:
            builder = _other_backbone(package, name)
            yield Variant("backbone", name, builder, "theta_bn measured on the distilled images")
    normal = stream(package.seed, "fragility", "noise").standard_normal(tuple(images.shape), np.float32)
    for level in NOISE:
        noise = level * float(images.std()) * torch.from_numpy(normal)
        yield Variant("noise", f"{level:g}", of(images=images + noise))
    for digits in (1, 0):
        yield Variant("labels: rounded", f"{digits} decimals", of(labels=labels.round(decimals=digits)))
    for how in ("float16", "uint8"):
        if how != package.stored.images:
            yield Variant("images: stored", how, _stored(package, how, start))
    if package.theta_bn:
        dropped = {n: torch.full_like(v, float(n.endswith("running_var"))) for n, v in package.theta_bn.items()}
        yield Variant("theta_bn: dropped", "", of(theta_bn=dropped))
        own = _own_statistics(package, patients, start)
        yield Variant("theta_bn: receiver", "", own, "of unlabelled patches of the cohort")
    else:
        yield Variant("theta_bn: dropped", "", _cannot("the network has no batch norm"))


def _cannot(reason: str) -> Builder:
    def network() -> nn.Module:
        raise InputError(reason)

    return network


def _built(package: Package, backbone: str) -> nn.Module:
    size = package.patches.input_size
    return build(backbone, input_size=size, norm=package.norm, channels=package.channels)


def _seeded(package: Package) -> str:
    """A start that a seed alone gives: the package's kind of it, or Xavier's where its own is published or a file."""
    return package.start if package.start in SEEDED else XAVIER


def _other_seed(package: Package, seed: int) -> Builder:
    def network() -> nn.Module:
        # Never the package's own seed, nor another for which it is only a name.
        changed = replace(package, start=_seeded(package), seed=package.seed + 1_000_003 * (seed + 1), weights=None)
        other = _built(package, package.backbone)
        set_start(other, backbone=package.backbone, start=changed.start, seed=changed.seed)
        prints = layer_fingerprints(other)
        return rebuild(replace(changed, start_fingerprints=prints))

    return network


def _other_backbone(package: Package, name: str) -> Builder:
    def network() -> nn.Module:
        other = _built(package, name)
        start = _seeded(package)
        set_start(other, backbone=name, start=start, seed=package.seed)
        changed = replace(
            package, backbone=name, start=start, weights=None, start_fingerprints=layer_fingerprints(other)
        )
        keep_no_statistics(other)
        if batch_norms(other) and package.inner_weights == "head":
            _measure(other, package.images.flatten(0, 1))
        take_steps(changed, other)
        if package.inner_weights == "all":
            _measure(other, package.images.flatten(0, 1))
        return other.requires_grad_(True).eval()

    return network


def _stored(package: Package, how: str, start: Path | str | None) -> Builder:
    def network() -> nn.Module:
        received, _ = stored(package.images.numpy(), how)  # type: ignore[arg-type]
        return rebuild(replace(package, images=torch.from_numpy(received)), start)

    return network


def _own_statistics(package: Package, patients: Sequence[Patient], start: Path | str | None) -> Builder:
    def network() -> nn.Module:
        found = _cohort_patches(package, patients)
        if package.inner_weights == "all":
            other = rebuild(package, start)
            _measure(other, found)
            return other.eval()
        other = started(package, start)
        keep_no_statistics(other)
        _measure(other, found)
        return rebuild(replace(package, theta_bn=statistics(other)), start)

    return network


@torch.no_grad()
def _measure(network: nn.Module, images: torch.Tensor) -> None:
    """Measure batch-norm statistics on batches of up to 64 of (images, channels, h, w), and put them in place."""
    keep_no_statistics(network)
    load_statistics(network, measure_statistics(network, network, even_batches(images, 64)))


def _cohort_patches(package: Package, patients: Sequence[Patient]) -> torch.Tensor:
    """(patches, channels, h, w): ``_STATISTICS_PATCHES`` or somewhat fewer, drawn anywhere from radiographs.

    Every radiograph gives as many, whatever its patient's label; of more radiographs than patches, some are drawn.
    """
    random = stream(package.seed, "fragility", "patches")
    films = [film for patient in patients for film in patient.films]
    each = max(1, _STATISTICS_PATCHES // len(films))
    found = []
    for number in random.permutation(len(films))[:_STATISTICS_PATCHES]:
        patches = film_patches(films[number], package)
        size, _ = patches.geometry(0, scoring=True)
        height, width = patches.cohort.shapes[0]
        tops, lefts = (random.integers(side - size + 1, size=each) for side in (height, width))
        found.append(patches.crop([Window(0, int(t), int(left), size) for t, left in zip(tops, lefts, strict=True)]))
    return torch.cat(found)
