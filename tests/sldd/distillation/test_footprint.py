"""Storage footprint: Table 4 of Li et al. (2022), from the architectures alone."""

from __future__ import annotations

import pytest
import torch

from sldd.backbones.norms import statistics
from sldd.backbones.registry import build, parameter_count
from sldd.distillation.footprint import footprint

PUBLISHED = [  # network, images, Memory in MiB, Memory* in kB, compression rate
    ("googlenet", 1, 22.83, 289.14, 0.01266),
    ("resnet18", 1, 42.64, 250.23, 0.00587),
    ("resnet34", 1, 81.20, 287.99, 0.00354),
    ("alexnet", 1, 217.44, 201.29, 0.00093),
    ("vgg16", 2, 512.21, 402.01, 0.00078),
    ("vgg19", 2, 532.46, 402.01, 0.00076),
]


@pytest.mark.parametrize(("name", "images", "memory", "star", "rate"), PUBLISHED)
def test_footprints_are_the_published_ones(name: str, images: int, memory: float, star: float, rate: float) -> None:
    with torch.device("meta"):
        network = build(f"paper/{name}", input_size=224)
        found = footprint(parameter_count(network), torch.empty(1, images, 1, 224, 224), statistics(network))
    assert found.memory_mib == pytest.approx(memory, abs=0.01)
    assert found.memory_star_kb == pytest.approx(star, rel=0.05)
    assert found.compression_rate == pytest.approx(rate, rel=0.05)
