"""Initial distilled images: noise, or real training patches."""

from __future__ import annotations

from typing import Literal

import torch

from sldd.data.patches import BalancedBatches
from sldd.distillation.initial_labels import image_classes
from sldd.rng import stream

ImageInit = Literal["noise", "real"]


def initial_images(start: ImageInit, *, steps: int, images: int, seed: int, batches: BalancedBatches) -> torch.Tensor:
    """Distilled patches at the start of a distillation.

    Args:
        start: ``noise``, standard normal as published; ``real``, as ``real_patches``.
        steps, images: S and M.
        batches: say how large a patch is, and where real ones come from.

    Returns:
        (S, M, channels, side, side) float32.
    """
    if start == "noise":
        return noise_images(steps=steps, images=images, side=batches.side, channels=batches.channels, seed=seed)
    return real_patches(steps=steps, images=images, seed=seed, batches=batches)


def real_patches(*, steps: int, images: int, seed: int, batches: BalancedBatches) -> torch.Tensor:
    """(S, M, channels, side, side) training patches, each of the class that its image's label starts with (Wang et al.
    2018 found such a start to work as well as noise; it learns faster)."""
    random = stream(seed, "real start")
    return torch.stack([batches.of_classes(random, image_classes(images)) for _ in range(steps)])


def noise_images(*, steps: int, images: int, side: int, channels: int = 1, seed: int) -> torch.Tensor:
    """(steps, images, channels, side, side) float32, standard normal."""
    shape = (steps, images, channels, side, side)
    return torch.from_numpy(stream(seed, "noise").standard_normal(shape, dtype="float32"))
