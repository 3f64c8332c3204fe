"""Initial soft labels of patches, and of films of one class each."""

from __future__ import annotations

import torch

from sldd.data.patches import CLASSES, NEGATIVE, POSITIVE
from sldd.errors import InputError

CLASS_STARTS = ("one_hot", "smoothed", "uniform")
STARTS = (*CLASS_STARTS, *(f"constant:{name}" for name in CLASSES))
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


def classes_of(labels: torch.Tensor, turns: list[int]) -> list[int]:
    """The largest class of each label (M, classes); ``turns`` instead where every label is uniform."""
    even = bool((labels == labels[:, :1]).all())
    return turns if even else labels.argmax(1).tolist()


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
    if start.startswith("constant:"):
        return _started("one_hot", [CLASSES.index(start.removeprefix("constant:"))] * images, len(CLASSES))
    return _started(start, image_classes(images), len(CLASSES))


def class_labels(start: str, images: int, classes: int) -> torch.Tensor:
    """The same of (M, classes), where images take the classes in turn; ``start`` is one of ``CLASS_STARTS``."""
    return _started(start, [number % classes for number in range(images)], classes)


def _started(start: str, chosen: list[int], classes: int) -> torch.Tensor:
    uniform = torch.full((len(chosen), classes), 1.0 / classes)
    if start == "uniform":
        return uniform
    one_hot = torch.eye(classes)[chosen]
    return one_hot if start != "smoothed" else (1 - _SMOOTHING) * one_hot + _SMOOTHING * uniform
