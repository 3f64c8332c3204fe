"""How distilled images start."""

from __future__ import annotations

from typing import Literal

import torch

from sldd.data.patches import BalancedBatches
from sldd.distillation.initial_labels import image_classes
from sldd.rng import stream

ImageInit = Literal["noise", "real"]


def initial_images(start: ImageInit, *, steps: int, images: int, seed: int, batches: BalancedBatches) -> torch.Tensor:
    """Distilled images at the start of a distillation.

    Args:
        start: ``noise``, standard normal as published; ``real``, training patches of the class that an image's label
            starts with (Wang et al. 2018 found either to work; a start from real patches learns faster).
        steps, images: S and M.
        batches: say how large a patch is, and where real ones come from.

    Returns:
        (S, M, 1, side, side) float32.
    """
    if start == "noise":
        return noise_images(steps=steps, images=images, side=batches.side, seed=seed)
    random = stream(seed, "real start")
    return torch.stack([batches.of_classes(random, image_classes(images)) for _ in range(steps)])


def noise_images(*, steps: int, images: int, side: int, seed: int) -> torch.Tensor:
    """(steps, images, 1, side, side) float32, standard normal."""
    shape = (steps, images, 1, side, side)
    return torch.from_numpy(stream(seed, "noise").standard_normal(shape, dtype="float32"))
