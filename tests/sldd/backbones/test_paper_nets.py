"""The papers' networks, to the parameter."""

from __future__ import annotations

import pytest
import torch

from sldd.backbones.init import initialise
from sldd.backbones.paper_nets import DIVISORS
from sldd.backbones.registry import build, parameter_count

PUBLISHED = {
    "googlenet": 5_984_915,
    "resnet18": 11_176_963,
    "resnet34": 21_285_123,
    "alexnet": 57_000_643,
    "vgg16": 134_271_683,
    "vgg19": 139_581_379,
}


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_parameters_are_the_published_ones(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build(f"paper/{name}", input_size=224)
        scores = network(torch.empty(2, 1, 224, 224))
    assert parameter_count(network) == parameters
    assert scores.shape == (2, 3)


@pytest.mark.parametrize("divisor", DIVISORS)
def test_narrow_networks_keep_the_papers_order(divisor: int) -> None:
    counts = []
    for name, whole in PUBLISHED.items():
        with torch.device("meta"):
            network = build(f"paper/{name}/{divisor}", input_size=64)
            assert network(torch.empty(2, 1, 64, 64)).shape == (2, 3)
        counts.append(parameter_count(network))
        assert counts[-1] == pytest.approx(whole / divisor**2, rel=0.04)
    assert counts == sorted(counts)


@pytest.mark.parametrize("name", ["googlenet", "resnet18", "resnet34/8", "vgg16/8"])
def test_layouts_run(name: str) -> None:
    network = build(f"paper/{name}", input_size=64)
    initialise(network, 0)
    assert bool(network(torch.randn(3, 1, 64, 64)).isfinite().all())


def test_every_googlenet_convolution_keeps_its_map() -> None:
    with torch.device("meta"):
        paper, torchvisions = (build(f"{library}/googlenet", input_size=64) for library in ("paper", "torchvision"))
        x = torch.empty(2, 192, 8, 8)
        assert paper.inception3a(x).shape == torchvisions.inception3a(x).shape  # type: ignore[operator]
    assert paper.inception3a.branch3[1].conv.kernel_size == (5, 5)  # type: ignore[index, union-attr]
