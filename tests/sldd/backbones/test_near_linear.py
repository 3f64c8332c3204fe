"""Near-linear starts: the shift of norms by depth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sldd.backbones.near_linear import GROWTH, growth, norm_shift
from sldd.backbones.registry import build


def test_growth_without_a_shift_is_the_published_one() -> None:
    assert growth(0.0) == pytest.approx(math.pi / (math.pi - 1))


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_growth_is_that_of_normal_values(shift: float) -> None:
    values = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + shift
    measured = (values > 0).double().mean() / values.relu().var()
    assert growth(shift) == pytest.approx(float(measured), rel=0.01)


def test_shifts_grow_with_depth_and_are_exact() -> None:
    shifts = [norm_shift(nn.Sequential(*(nn.BatchNorm2d(1) for _ in range(layers)))) for layers in range(1, 200)]
    assert shifts == sorted(shifts)
    assert shifts[0] == 0.0
    assert all(layers * math.log(growth(shift)) <= math.log(GROWTH) for layers, shift in enumerate(shifts, 1))
    assert all(shift * 16 == int(shift * 16) for shift in shifts)


def test_without_norms_before_activations_nothing_is_shifted() -> None:
    assert norm_shift(build("lenet", input_size=28, norm="as_is")) == 0.0
    assert norm_shift(build("test_vit", input_size=32)) == 0.0


def test_known_shifts() -> None:
    """A start that was shared yesterday must be the same tomorrow: these values may never change."""
    known = {"paper/alexnet/8": 0.5625, "paper/resnet18/8": 1.5, "paper/googlenet/8": 2.0}
    assert {name: norm_shift(build(name, input_size=96, norm="batch")) for name in known} == known
