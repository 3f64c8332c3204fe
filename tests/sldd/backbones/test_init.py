"""Xavier starts: decided by seed and backbone alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.registry import build


def test_known_bits() -> None:
    """A start that was shared yesterday must be the same tomorrow: these values may never change."""
    layer = nn.Linear(3, 2)
    initialise(layer, 7)
    assert layer.weight.detach().numpy().tobytes().hex() == KNOWN
    assert (layer.bias == 0).all()


KNOWN = "fcf5d33e917a223eff03d9be1c0739bf3c24503da6984e3f"


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    prints = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        network = build("test_resnet", input_size=32)
        before = torch.get_rng_state()
        initialise(network, 0)
        assert torch.equal(before, torch.get_rng_state())
        prints.append(layer_fingerprints(network))
    assert prints[0] == prints[1]


def test_seeds_differ_and_names_differ() -> None:
    two = nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8)})
    initialise(two, 0)
    a, b = (two[name].weight.detach().clone() for name in "ab")  # type: ignore[union-attr, operator]
    assert not torch.equal(a, b)
    initialise(two, 1)
    assert not torch.equal(a, two["a"].weight)


def test_xavier_bounds_and_variance() -> None:
    layer = nn.Conv2d(16, 32, 3)
    initialise(layer, 0)
    bound = (6 / (9 * 16 + 9 * 32)) ** 0.5
    assert layer.weight.abs().max() <= bound
    assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.05)
    assert abs(layer.weight.mean().item()) < 0.02 * bound


def test_norms_start_as_identity() -> None:
    network = build("test_resnet", input_size=32)
    initialise(network, 0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
            assert (module.running_mean == 0).all()


def test_a_shift_moves_the_norms_before_activations_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LayerNorm(4))
    initialise(network, 0)
    plain = {name: value.detach().clone() for name, value in network.named_parameters()}
    initialise(network, 0, shift=1.0)
    changed = [name for name, value in network.named_parameters() if not torch.equal(value, plain[name])]
    assert changed == ["1.bias"]
    assert (network.get_parameter("1.bias") == 1).all()


def test_every_parameter_of_a_transformer_is_decided() -> None:
    prints = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = build("test_vit", input_size=32)
        initialise(network, 0)
        prints.append(layer_fingerprints(network))
    assert prints[0] == prints[1]
