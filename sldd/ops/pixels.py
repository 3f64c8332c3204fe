"""Pixels of radiographs as a network's input: channels first, standardised channel by channel."""

from __future__ import annotations

import numpy as np
import torch

from sldd.ops.types import PerChannel

_LEAST_STD = 1e-6
_MOST_VALUES = 2**25
"""Of images in memory at a time, in float32 128 MiB: 668 gray ones of 224 x 224."""


def at_once(batch: int, channels: int, side: int) -> int:
    """``batch`` images of so many pixels a side, or as many as there is room for, one at least: how large they are may
    be a stranger's choice."""
    return max(1, min(batch, _MOST_VALUES // (channels * side**2)))


def planes(pixels: np.ndarray) -> torch.Tensor:
    """(channels, height, width) float32 of (height, width) gray values or (height, width, channels) colours."""
    values = torch.from_numpy(pixels.astype(np.float32))
    return values[None] if values.ndim == 2 else values.movedim(2, 0).contiguous()


def at_least(std: PerChannel) -> PerChannel:
    """A standard deviation that can be divided by."""
    if not isinstance(std, tuple):
        return max(std, _LEAST_STD)
    red, green, blue = (max(each, _LEAST_STD) for each in std)
    return red, green, blue


def standardise(images: torch.Tensor, mean: PerChannel, std: PerChannel) -> torch.Tensor:
    """(..., channels, height, width) less the mean and by the deviation of each channel."""
    return (images - _beside(images, mean)) / _beside(images, std)


def _beside(images: torch.Tensor, values: PerChannel) -> torch.Tensor | float:
    return images.new_tensor(values)[:, None, None] if isinstance(values, tuple) else values
