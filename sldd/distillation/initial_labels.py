"""Initial soft labels of patches."""

from __future__ import annotations

import torch

from sldd.data.patches import CLASSES, NEGATIVE, POSITIVE
from sldd.errors import InputError

STARTS = ("one_hot", "smoothed", "uniform", *(f"constant:{name}" for name in CLASSES))
_SMOOTHING = 0.1


def image_classes(images: int) -> list[int]:
    """The class whose label an image starts with: N alone; N and P; else I, N, P in turn (Li et al. 2022, 4.2).

    One image starts at N as published. Two leave out I, which does not vote.
    """
    if images == 1:
        return [NEGATIVE]
    if images == 2:
        return [NEGATIVE, POSITIVE]
    return [number % len(CLASSES) for number in range(images)]


def initial_labels(start: str, images: int) -> torch.Tensor:
    """Soft labels at the start of a distillation.

    Args:
        start: ``one_hot``, ``smoothed`` (0.1 spread evenly over the classes), ``uniform`` or ``constant:<class>``.
        images: M.

    Returns:
        (M, 3) float32, rows summing to 1.

    Raises:
        InputError: no such start.
    """
    if start not in STARTS:
        raise InputError(f"grid.label_init: {start!r} is unknown; choose from {', '.join(STARTS)}")
    classes = len(CLASSES)
    uniform = torch.full((images, classes), 1.0 / classes)
    if start == "uniform":
        return uniform
    if start.startswith("constant:"):
        chosen = [CLASSES.index(start.removeprefix("constant:"))] * images
    else:
        chosen = image_classes(images)
    one_hot = torch.eye(classes)[chosen]
    return one_hot if start != "smoothed" else (1 - _SMOOTHING) * one_hot + _SMOOTHING * uniform
