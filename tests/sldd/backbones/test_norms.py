"""Statistics: measured afresh, never leaking."""

from __future__ import annotations

import torch
from torch import nn

from sldd.backbones.norms import keep_no_statistics, load_statistics, measure_statistics


def _network() -> nn.Sequential:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()).train()
    keep_no_statistics(network)
    return network


def test_training_mode_leaves_statistics_alone() -> None:
    network = _network()
    network(torch.randn(4, 2, 3, 3) * 9 + 5)
    layer = network[0]
    assert torch.equal(layer.running_mean, torch.zeros(2))
    assert layer.num_batches_tracked == 0


def test_measured_statistics_are_plain_averages() -> None:
    network = _network()
    batches = [torch.randn(4, 2, 3, 3) + shift for shift in range(5)]
    theta_bn = measure_statistics(network, network, batches)
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    variance = torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0)
    assert torch.allclose(theta_bn["0.running_mean"], mean, atol=1e-6)
    assert torch.allclose(theta_bn["0.running_var"], variance, atol=1e-6)


def test_measuring_again_forgets_what_was_before() -> None:
    network = _network()
    batches = [torch.randn(4, 2, 3, 3) for _ in range(3)]
    first = measure_statistics(network, network, batches)
    measure_statistics(network, network, [torch.full((4, 2, 3, 3), 100.0) + torch.randn(4, 2, 3, 3)])
    again = measure_statistics(network, network, batches)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_evaluation_uses_what_was_loaded() -> None:
    network = _network()
    load_statistics(network, {"0.running_mean": torch.tensor([1.0, 2.0]), "0.running_var": torch.tensor([4.0, 9.0])})
    image = torch.full((1, 2, 1, 1), 7.0)
    shown = network.eval()(image).flatten()
    assert torch.allclose(shown, torch.tensor([6 / 2, 5 / 3]), atol=1e-4)


def test_network_without_batch_norm_has_none() -> None:
    network = nn.Conv2d(1, 1, 1)
    assert measure_statistics(network, network, []) == {}
