"""Inner steps by programs: the bits of autograd's for every kind of layer, or autograd where there is no program."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sldd.backbones.init import initialise
from sldd.backbones.norms import keep_no_statistics
from sldd.backbones.registry import build
from sldd.distillation.inner_gradient import EagerGradient, TracedGradient
from sldd.distillation.unroll import Unroll
from sldd.ops.types import Memory
from sldd.training.losses import soft_cross_entropy
from sldd.training.weighted_bce import weighted_bce

NETWORKS = {
    "lenet": 28,  # neither norm nor padding
    "convnet_w32": 16,  # group norm
    "paper/resnet18/8": 32,  # batch norm
    "mobilenetv3_small_050": 32,  # depthwise convolutions, and a function of ours for hard sigmoids
    "test_vit": 32,  # attention and layer norm
    "paper/googlenet/8": 32,  # branches, and pooling with and without stride
}


def _network(name: str) -> nn.Module:
    network = build(name, input_size=NETWORKS[name])
    initialise(network, 0)
    keep_no_statistics(network)
    return network


def _learned(name: str, images: int, steps: int, epochs: int, seed: int) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, images, 1, NETWORKS[name], NETWORKS[name], generator=draw)
    return x, torch.rand(steps, images, 3, generator=draw), torch.rand(epochs, steps, generator=draw) * 0.01


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=3, deadline=None)
@given(
    images=st.integers(2, 4),
    steps=st.integers(1, 2),
    epochs=st.integers(1, 3),
    momentum=st.sampled_from([0.0, 0.7]),
    tensor_rates=st.booleans(),
    memory=st.sampled_from(["keep", "recompute"]),
    window=st.sampled_from([None, 1, 2]),
    autocast=st.sampled_from([None, torch.bfloat16]),
    loss=st.sampled_from([soft_cross_entropy, weighted_bce]),
)
def test_programs_give_the_bits_of_autograd(
    name: str,
    images: int,
    steps: int,
    epochs: int,
    momentum: float,
    tensor_rates: bool,
    memory: Memory,
    window: int | None,
    autocast: torch.dtype | None,
    loss: Any,
) -> None:
    results = []
    for traced in (True, False):
        network = _network(name)
        unroll = Unroll(network, momentum=momentum, memory=memory, autocast=autocast, loss=loss, traced=traced)
        for seed in (0, 1):  # a program is written down on the first
            x, y, rates = _learned(name, images, steps, epochs, seed)
            if tensor_rates:
                rates = rates[..., None] * torch.linspace(0.5, 1.5, len(unroll.names))
            theta = unroll.steps(x, y, rates, window=window)
            results.append(
                [
                    *theta,
                    *vars(unroll.backward([weight.detach().sin() for weight in theta])).values(),
                    *unroll.steps(x, y, rates, differentiable=False),
                    *unroll.first_gradients(x, y)[0],
                ]
            )
        assert unroll.traced is traced
    half = len(results) // 2
    for ours, expected in zip(results[:half], results[half:], strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, expected, strict=True))


class Scaled(nn.Module):
    """Logits, times what a subclass says."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(36, 3), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits * self.factor(logits)

    def factor(self, logits: torch.Tensor) -> Any:
        raise NotImplementedError


class Choosing(Scaled):
    def factor(self, logits: torch.Tensor) -> Any:
        return 2 if logits.sum() > 0 else 1


class Random(Scaled):
    def factor(self, logits: torch.Tensor) -> Any:
        return torch.rand_like(logits)


class Counting(Scaled):
    def factor(self, logits: torch.Tensor) -> Any:
        return self.calls


class Unseen(Scaled):
    def factor(self, logits: torch.Tensor) -> Any:
        return torch.from_numpy(logits.detach().numpy() + 1)


@pytest.mark.parametrize("network", [Choosing(), Random(), Counting(), Unseen()])
def test_what_may_be_otherwise_the_next_time_has_no_program(network: Scaled) -> None:
    eager = EagerGradient(Unroll(network).forward, soft_cross_entropy, None)
    theta = [parameter.detach() for parameter in network.parameters()]
    assert TracedGradient.of(eager, theta, torch.ones(2, 1, 6, 6), torch.eye(3)[:2]) is None


class Template(nn.Module):
    """A parameter is the input of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(64, 3)
        self.template = nn.Parameter(torch.randn(1, 1, 6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head((self.conv(x) + self.conv(self.template)).flatten(1))
        return logits


def test_a_parameter_that_is_convolved_has_its_gradient() -> None:
    network, x, y = Template(), torch.randn(2, 1, 6, 6), torch.eye(3)[:2]
    theta = [parameter.detach() for parameter in network.parameters()]
    expected = torch.autograd.grad(soft_cross_entropy(network(x), y), list(network.parameters()))
    eager = EagerGradient(Unroll(network).forward, soft_cross_entropy, None)
    for found in (eager.gradient(theta, x, y), eager.linearised(theta, x, y)[0]):
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_other_shapes_go_by_autograd() -> None:
    network = _network("lenet")
    unroll = Unroll(network)
    for images in (3, 2, 3):
        x, y, rates = _learned("lenet", images, 1, 2, seed=0)
        theta = unroll.steps(x, y, rates)
        expected = Unroll(network, traced=False).steps(x, y, rates)
        assert all(torch.equal(one, other) for one, other in zip(theta, expected, strict=True))
        unroll.backward([weight.detach() for weight in theta])


def test_programs_keep_no_more_than_graphs() -> None:
    from benchmarks.measure import peak_bytes

    network = _network("paper/resnet18/8")
    x, y, rates = _learned("paper/resnet18/8", 4, 1, 6, seed=0)
    peaks = []
    for traced in (True, False):
        unroll = Unroll(network, traced=traced)

        def step(unroll: Unroll = unroll) -> None:
            unroll.backward([weight.detach() for weight in unroll.steps(x, y, rates)])

        peaks.append(peak_bytes(step))
    assert peaks[0] <= 1.02 * peaks[1]
