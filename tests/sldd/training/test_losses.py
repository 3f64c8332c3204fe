"""The losses of the two tasks: parts add up to the whole, and inner steps are differentiated rightly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from sldd.distillation.unroll import Unroll
from sldd.ops.types import TaskName
from sldd.rng import stream
from sldd.training.compute import ComputeSettings, outer_gradient
from sldd.training.losses import LOSSES, weighted_bce_of_part
from sldd.training.weighted_bce import weighted_bce


def _normal(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(stream(0, "test", name).standard_normal(shape))


def _truth(task: TaskName) -> torch.Tensor:
    if task == "patches":
        return torch.arange(7) % 4
    findings = (_normal("truth", 7, 4) > 0.5).double()
    findings[2, 1] = np.nan  # not known
    return findings


@pytest.mark.parametrize("task", ["patches", "multilabel"])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_parts_of_a_batch_add_up_to_it(task: TaskName, size: int) -> None:
    logits, truth = _normal("logits", 7, 4), _truth(task)
    outer = LOSSES[task].outer
    whole = outer(logits, truth, truth)
    parts = sum(outer(z, y, truth) for z, y in zip(logits.split(size), truth.split(size), strict=True))
    assert parts == pytest.approx(whole.item(), rel=1e-12)


def test_micro_batches_weigh_entries_of_the_whole_batch() -> None:
    layer, images, truth = nn.Linear(6, 4), _normal("images", 7, 6).float(), _truth("multilabel").float()
    weights = [parameter.detach().requires_grad_() for parameter in layer.parameters()]

    def forward(given: list[torch.Tensor], seen: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(seen, *given)

    def gradient(micro_batch: int | None) -> tuple[float, list[torch.Tensor]]:
        settings = ComputeSettings(micro_batch=micro_batch)
        return outer_gradient(forward, weights, images, truth, settings, weighted_bce_of_part)

    (whole, expected), (parted, found) = gradient(None), gradient(2)
    assert parted == pytest.approx(whole)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_inner_steps_on_findings_against_plain_autograd() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    names = [name for name, _ in network.named_parameters()]
    x, y = _normal("x", 2, 3, 1, 3, 3), _normal("y", 2, 3, 4).sigmoid()
    rates, real, truth = torch.full((1, 2), 0.3, dtype=torch.float64), _normal("real", 7, 1, 3, 3), _truth("multilabel")
    start = [parameter.detach().clone() for parameter in network.parameters()]

    leaves = [value.clone().requires_grad_() for value in (x, y, rates)]
    theta = [weight.clone().requires_grad_() for weight in start]
    for step in range(2):
        loss = weighted_bce(
            functional_call(network, dict(zip(names, theta, strict=True)), (leaves[0][step],)), leaves[1][step]
        )
        gradient = torch.autograd.grad(loss, theta, create_graph=True)
        theta = [weight - leaves[2][0, step] * g for weight, g in zip(theta, gradient, strict=True)]
    outer = weighted_bce(functional_call(network, dict(zip(names, theta, strict=True)), (real,)), truth)
    expected = torch.autograd.grad(outer, leaves)

    unroll = Unroll(network, loss=weighted_bce)
    last = unroll.steps(x, y, rates)
    _, at_last = outer_gradient(
        lambda weights, images: unroll.forward(weights, images),
        last,
        real,
        truth,
        ComputeSettings(),
        lambda z, t, whole: weighted_bce_of_part(z.double(), t, whole),
    )
    found = unroll.backward(at_last)
    for one, other in zip((found.images, found.labels, found.rates), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)  # logits of the outer pass are float32
