"""Where distilled images start."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sldd.distillation.initial.images import noise_images, pink_images


@pytest.mark.parametrize("drawn", [noise_images, pink_images])
def test_a_seed_names_its_images(drawn: Callable[..., torch.Tensor]) -> None:
    given: dict[str, int] = {"steps": 2, "images": 3, "side": 8, "channels": 3}
    images = drawn(**given, seed=1)
    assert images.shape == (2, 3, 3, 8, 8)
    assert images.dtype == torch.float32
    assert torch.equal(images, drawn(**given, seed=1))
    assert not torch.equal(images, drawn(**given, seed=2))
    assert len(images.flatten(0, 2).unique(dim=0)) == 18


@pytest.mark.parametrize("side", [2, 33, 64])
def test_pink_planes_have_the_scale_of_patches(side: int) -> None:
    images = pink_images(steps=1, images=5, side=side, seed=0)
    assert torch.allclose(images.mean((-2, -1)), torch.zeros(1), atol=1e-6)
    assert torch.allclose(images.std((-2, -1), correction=0), torch.ones(1), atol=1e-5)


def test_the_amplitude_of_pink_noise_falls_as_one_by_frequency() -> None:
    side = 64
    spectrum = np.abs(np.fft.fft2(pink_images(steps=1, images=200, side=side, seed=0).numpy()[0, :, 0])) ** 2
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    inside = (frequency > 0) & (frequency < 0.5)
    slope, _ = np.polyfit(np.log(frequency[inside]), np.log(spectrum.mean(0)[inside]), 1)
    assert slope == pytest.approx(-2, abs=0.05)  # power
