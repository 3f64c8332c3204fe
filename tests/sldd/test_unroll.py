"""The adjoint is exact: against one full autograd graph, and against finite differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from sldd.norms import keep_no_statistics
from sldd.unroll import Unroll, soft_cross_entropy


class Attention(nn.Module):
    """One self-attention layer over image rows, through PyTorch's fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 18)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.mix(x[:, 0]).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v).mean(1))


def _network(kind: str) -> nn.Module:
    torch.manual_seed(3)
    layers: dict[str, nn.Module] = {
        "plain": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3)),
        "batch_norm": nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Softplus(), nn.Flatten(), nn.Linear(64, 3)
        ),
        "attention": Attention(),
    }
    network = layers[kind].double().train()
    keep_no_statistics(network)
    return network


def _problem(images: int, steps: int, epochs: int) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(images + 10 * steps + 100 * epochs)
    x = torch.randn(steps, images, 1, 6, 6, generator=draw, dtype=torch.float64)
    y = torch.rand(steps, images, 3, generator=draw, dtype=torch.float64)
    rates = torch.rand(epochs, steps, generator=draw, dtype=torch.float64) * 0.3
    real = torch.randn(7, 1, 6, 6, generator=draw, dtype=torch.float64)
    return x, y, rates, real, torch.arange(7) % 3


def _outer(unroll: Unroll, theta: list[torch.Tensor], real: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(unroll.forward(theta, real), classes)


def _full_graph(network: nn.Module, problem: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Differentiate through everything at once: the definition, with every graph in memory."""
    x, y, rates, real, classes = problem
    x, y, rates = (value.clone().requires_grad_() for value in (x, y, rates))
    theta = {name: value.detach().requires_grad_() for name, value in network.named_parameters()}
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        for epoch in range(rates.shape[0]):
            for step in range(rates.shape[1]):
                loss = soft_cross_entropy(functional_call(network, theta, (x[step],)), y[step])
                gradient = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
                theta = {
                    name: value - rates[epoch, step] * g
                    for (name, value), g in zip(theta.items(), gradient, strict=True)
                }
        return torch.autograd.grad(F.cross_entropy(functional_call(network, theta, (real,)), classes), [x, y, rates])


@pytest.mark.parametrize("kind", ["plain", "batch_norm", "attention"])
@settings(max_examples=12, deadline=None)
@given(images=st.integers(1, 4), steps=st.integers(1, 3), epochs=st.integers(1, 3))
def test_adjoint_equals_full_graph(kind: str, images: int, steps: int, epochs: int) -> None:
    network = _network(kind)
    problem = _problem(images, steps, epochs)
    x, y, rates, real, classes = problem
    unroll = Unroll(network, list(network.parameters()))
    theta = unroll.steps(x, y, rates)
    found = unroll.adjoint(torch.autograd.grad(_outer(unroll, theta, real, classes), theta))
    for ours, exact in zip((found.images, found.labels, found.rates), _full_graph(network, problem), strict=True):
        assert (ours - exact).norm() <= 1e-10 * exact.norm()


@pytest.mark.parametrize("kind", ["plain", "batch_norm", "attention"])
def test_adjoint_equals_finite_differences(kind: str) -> None:
    network = _network(kind)
    x, y, rates, real, classes = _problem(images=3, steps=2, epochs=2)
    unroll = Unroll(network, list(network.parameters()))

    def loss(*learned: torch.Tensor) -> torch.Tensor:
        return _outer(unroll, unroll.steps(*learned, differentiable=False), real, classes)

    theta = unroll.steps(x, y, rates)
    found = unroll.adjoint(torch.autograd.grad(_outer(unroll, theta, real, classes), theta))
    learned = (x, y, rates)
    for which, ours in enumerate((found.images, found.labels, found.rates)):
        direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(which), dtype=torch.float64)
        moved = [
            loss(*(value + sign * 1e-6 * direction if i == which else value for i, value in enumerate(learned)))
            for sign in (1, -1)
        ]
        slope = (moved[0] - moved[1]).item() / 2e-6
        assert (ours * direction).sum().item() == pytest.approx(slope, rel=1e-6)


def test_steps_leave_the_network_as_it_was() -> None:
    network = _network("batch_norm")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x, y, rates, real, classes = _problem(images=2, steps=1, epochs=2)
    unroll = Unroll(network, list(network.parameters()))
    theta = unroll.steps(x, y, rates)
    unroll.adjoint(torch.autograd.grad(_outer(unroll, theta, real, classes), theta))
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_steps_do_not_depend_on_the_mode_of_the_network() -> None:
    network = _network("batch_norm")
    x, y, rates, *_ = _problem(images=2, steps=1, epochs=1)
    unroll = Unroll(network, list(network.parameters()))
    trained = unroll.steps(x, y, rates, differentiable=False)
    network.eval()
    rebuilt = unroll.steps(x, y, rates, differentiable=False)
    assert all(torch.equal(a, b) for a, b in zip(trained, rebuilt, strict=True))


def test_adjoint_wants_its_graphs_once() -> None:
    network = _network("plain")
    x, y, rates, real, classes = _problem(images=1, steps=1, epochs=1)
    unroll = Unroll(network, list(network.parameters()))
    theta = unroll.steps(x, y, rates)
    outer = torch.autograd.grad(_outer(unroll, theta, real, classes), theta)
    unroll.adjoint(outer)
    with pytest.raises(RuntimeError, match="once"):
        unroll.adjoint(outer)
