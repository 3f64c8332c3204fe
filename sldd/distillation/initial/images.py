"""Initial distilled images: white or pink noise, or real training patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch

from sldd.rng import stream

ImageInit = Literal["noise", "pink", "real"]


class _OfClasses(Protocol):
    def of_classes(self, random: np.random.Generator, classes: Sequence[int], *, apart: bool) -> torch.Tensor: ...


def real_images(*, steps: int, classes: Sequence[int], seed: int, batches: _OfClasses) -> torch.Tensor:
    """(S, M, channels, side, side) training images, different ones, each of the class that its label starts with (Wang
    et al. 2018 found such a start to work as well as noise; it learns faster)."""
    drawn = batches.of_classes(stream(seed, "real start"), [*classes] * steps, apart=True)
    return drawn.unflatten(0, (steps, len(classes)))


def drawn_images(
    start: Literal["noise", "pink"], *, steps: int, images: int, side: int, channels: int = 1, seed: int
) -> torch.Tensor:
    """(steps, images, channels, side, side) float32 noise, white or pink."""
    draw = pink_images if start == "pink" else noise_images
    return draw(steps=steps, images=images, side=side, channels=channels, seed=seed)


def noise_images(*, steps: int, images: int, side: int, channels: int = 1, seed: int) -> torch.Tensor:
    """(steps, images, channels, side, side) float32, standard normal."""
    shape = (steps, images, channels, side, side)
    return torch.from_numpy(stream(seed, "noise").standard_normal(shape, dtype="float32"))


def pink_images(*, steps: int, images: int, side: int, channels: int = 1, seed: int) -> torch.Tensor:
    """(steps, images, channels, side, side) float32 noise whose amplitude falls as 1 / frequency, as that of natural
    images does (Field 1987, JOSA A 4); each plane has mean 0 and deviation 1.

    A network that was trained on images sees different things in two of them. Of white noise it makes much the same
    features each time, of which an inner step of the last layer has nothing to teach.
    """
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = np.inf  # no mean
    white = stream(seed, "pink noise").standard_normal((steps, images, channels, side, side))
    pink = np.fft.irfft2(np.fft.rfft2(white) / frequency, s=(side, side))
    return torch.from_numpy((pink / pink.std((-2, -1), keepdims=True)).astype(np.float32))
