"""Differentiable Siamese augmentation (Zhao & Bilen 2021): one random change, of real and distilled images alike.

A(s, w) and A(t, w) share w, so that what is matched is the same view of both, and the change is differentiable in the
images, so that the gradient comes back through it. Each step takes one kind of change, by the same amount for all
images of the step. Images are standardised: 0, their mean, is what comes in from outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

Change = Callable[[torch.Tensor], torch.Tensor]
"""(images, channels, height, width) -> the same shape."""

SHIFT, ANGLE, ZOOM = 0.125, 15.0, 0.2
"""Share of the side, degrees, and share by which images are scaled, at most."""
BRIGHTNESS, CONTRAST = 0.5, 0.5
"""Deviations by which images become lighter, and share by which their contrast changes, at most."""
CUT = 0.5
"""Side of the square that is cut out, in sides of the image; the paper's."""


def identity(images: torch.Tensor) -> torch.Tensor:
    """No change."""
    return images


def siamese(random: np.random.Generator) -> Change:
    """A change drawn at random: its kind, then its amount."""
    kinds = (_shift, _turn, _zoom, _brightness, _contrast, _cut)
    return kinds[int(random.integers(len(kinds)))](random)


def _shift(random: np.random.Generator) -> Change:
    right, down = random.uniform(-2 * SHIFT, 2 * SHIFT, 2)  # of half a side, as the grid counts
    return lambda images: _affine(images, [[1.0, 0.0, right], [0.0, 1.0, down]])


def _turn(random: np.random.Generator) -> Change:
    angle = math.radians(random.uniform(-ANGLE, ANGLE))
    sine, cosine = math.sin(angle), math.cos(angle)
    return lambda images: _affine(images, [[cosine, -sine, 0.0], [sine, cosine, 0.0]])


def _zoom(random: np.random.Generator) -> Change:
    wide, high = random.uniform(1 - ZOOM, 1 + ZOOM, 2)
    return lambda images: _affine(images, [[wide, 0.0, 0.0], [0.0, high, 0.0]])


def _brightness(random: np.random.Generator) -> Change:
    lighter = float(random.uniform(-BRIGHTNESS, BRIGHTNESS))
    return lambda images: images + lighter


def _contrast(random: np.random.Generator) -> Change:
    factor = float(random.uniform(1 - CONTRAST, 1 + CONTRAST))

    def change(images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3), keepdim=True)
        return (images - mean) * factor + mean

    return change


def _cut(random: np.random.Generator) -> Change:
    top, left = random.uniform(-CUT / 2, 1 - CUT / 2, 2)

    def change(images: torch.Tensor) -> torch.Tensor:
        rows, columns = (torch.arange(side, device=images.device) / side for side in images.shape[2:])
        inside = [(place >= begin) & (place < begin + CUT) for place, begin in ((rows, top), (columns, left))]
        return images * ~(inside[0][:, None] & inside[1])

    return change


def _affine(images: torch.Tensor, matrix: list[list[float]]) -> torch.Tensor:
    theta = torch.tensor(matrix, dtype=images.dtype, device=images.device).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
