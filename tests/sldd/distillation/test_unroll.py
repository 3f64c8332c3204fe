"""Gradients of the unroll are exact: against one full autograd graph, and against finite differences."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from sldd.backbones.norms import keep_no_statistics
from sldd.distillation.unroll import Gradients, Unroll
from sldd.ops.types import Memory
from sldd.training.losses import soft_cross_entropy


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


def _full_graph(
    network: nn.Module,
    problem: tuple[torch.Tensor, ...],
    *,
    momentum: float = 0.0,
    window: int = 99,
) -> tuple[torch.Tensor, ...]:
    """Differentiate through everything at once: the definition, with every graph in memory."""
    x, y, rates, real, classes = problem
    x, y, rates = (value.clone().requires_grad_() for value in (x, y, rates))
    theta = {name: value.detach().requires_grad_() for name, value in network.named_parameters()}
    velocity = {name: torch.zeros_like(value) for name, value in theta.items()}
    epochs, steps = rates.shape[:2]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        for number in range(epochs * steps):
            epoch, step = divmod(number, steps)
            if number == epochs * steps - window:
                theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
                velocity = {name: value.detach() for name, value in velocity.items()}
            loss = soft_cross_entropy(functional_call(network, theta, (x[step],)), y[step])
            gradient = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
            velocity = {name: momentum * velocity[name] + g for name, g in zip(theta, gradient, strict=True)}
            rate = rates[epoch, step].expand(len(theta))
            theta = {name: theta[name] - a * velocity[name] for name, a in zip(theta, rate, strict=True)}
        outer = F.cross_entropy(functional_call(network, theta, (real,)), classes)
        return torch.autograd.grad(outer, [x, y, rates], allow_unused=True, materialize_grads=True)


def _found(unroll: Unroll, problem: tuple[torch.Tensor, ...], window: int | None = None) -> Gradients:
    x, y, rates, real, classes = problem
    theta = unroll.steps(x, y, rates, window=window)
    return unroll.backward(torch.autograd.grad(_outer(unroll, theta, real, classes), theta))


@pytest.mark.parametrize("memory", ["keep", "recompute"])
@pytest.mark.parametrize("kind", ["plain", "batch_norm", "attention"])
@settings(max_examples=12, deadline=None)
@given(
    images=st.integers(1, 4),
    steps=st.integers(1, 3),
    epochs=st.integers(1, 4),
    momentum=st.sampled_from([0.0, 0.7]),
    tensor_rates=st.booleans(),
    rates_stay=st.booleans(),
    window=st.one_of(st.none(), st.integers(1, 12)),
)
def test_adjoint_equals_full_graph(
    kind: str,
    memory: Memory,
    images: int,
    steps: int,
    epochs: int,
    momentum: float,
    tensor_rates: bool,
    rates_stay: bool,
    window: int | None,
) -> None:
    network = _network(kind)
    x, y, rates, *rest = _problem(images, steps, epochs)
    if tensor_rates:
        rates = rates[..., None] * torch.linspace(0.5, 1.5, len(list(network.parameters())), dtype=torch.float64)
    problem = (x, y, rates, *rest)
    unroll = Unroll(network, momentum=momentum, memory=memory, rates_stay=rates_stay)
    found = _found(unroll, problem, window)
    exact = _full_graph(network, problem, momentum=momentum, window=window or 99)
    for ours, expected in zip((found.images, found.labels, found.rates), exact, strict=True):
        assert (ours - expected).norm() <= 1e-10 * expected.norm()


def test_rates_that_stay_tensors_change_no_bit() -> None:
    network = _network("batch_norm").float()
    x, y, rates, real, classes = _problem(3, 2, 2)
    each = rates[..., None] * torch.linspace(0.5, 1.5, len(list(network.parameters())))
    problem = (x.float(), y.float(), each.float(), real.float(), classes)
    numbers, tensors = (_found(Unroll(network, rates_stay=stay), problem) for stay in (False, True))
    for ours, theirs in zip(vars(tensors).values(), vars(numbers).values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("total", [2, 3, 9, 27])
def test_recomputing_changes_no_bit(total: int) -> None:
    network = _network("batch_norm").float()
    problem = tuple(value.float() if value.is_floating_point() else value for value in _problem(3, 1, total))
    kept, recomputed = (
        _found(Unroll(network, momentum=0.5, memory=memory), problem) for memory in ("keep", "recompute")
    )
    for ours, theirs in zip(vars(recomputed).values(), vars(kept).values(), strict=True):
        assert torch.equal(ours, theirs)


def test_auto_recomputes_where_the_graphs_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network("plain")
    x, y, rates, *_ = _problem(images=3, steps=2, epochs=2)
    chosen = []
    for free in (10**9, 1000):
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: SimpleNamespace(available=free))
        unroll = Unroll(network, memory="auto")
        unroll.steps(x, y, rates)
        chosen.append(unroll.memory)
    assert chosen == ["keep", "recompute"]


def test_a_step_can_be_the_last_one() -> None:
    network = _network("plain")
    x, y, rates, *_ = _problem(images=2, steps=2, epochs=3)
    unroll = Unroll(network)
    some = unroll.steps(x, y, rates, differentiable=False, stop=2)
    first_epoch = unroll.steps(x, y, rates[:1], differentiable=False)
    assert all(torch.equal(a, b) for a, b in zip(some, first_epoch, strict=True))


@pytest.mark.parametrize("kind", ["plain", "batch_norm", "attention"])
def test_adjoint_equals_finite_differences(kind: str) -> None:
    network = _network(kind)
    x, y, rates, real, classes = _problem(images=3, steps=2, epochs=2)
    unroll = Unroll(network)

    def loss(*learned: torch.Tensor) -> torch.Tensor:
        return _outer(unroll, unroll.steps(*learned, differentiable=False), real, classes)

    theta = unroll.steps(x, y, rates)
    found = unroll.backward(torch.autograd.grad(_outer(unroll, theta, real, classes), theta))
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
    unroll = Unroll(network)
    theta = unroll.steps(x, y, rates)
    unroll.backward(torch.autograd.grad(_outer(unroll, theta, real, classes), theta))
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_steps_do_not_depend_on_the_mode_of_the_network() -> None:
    network = _network("batch_norm")
    x, y, rates, *_ = _problem(images=2, steps=1, epochs=1)
    unroll = Unroll(network)
    trained = unroll.steps(x, y, rates, differentiable=False)
    network.eval()
    rebuilt = unroll.steps(x, y, rates, differentiable=False)
    assert all(torch.equal(a, b) for a, b in zip(trained, rebuilt, strict=True))


def test_adjoint_wants_its_graphs_once() -> None:
    network = _network("plain")
    x, y, rates, real, classes = _problem(images=1, steps=1, epochs=1)
    unroll = Unroll(network)
    theta = unroll.steps(x, y, rates)
    outer = torch.autograd.grad(_outer(unroll, theta, real, classes), theta)
    unroll.backward(outer)
    with pytest.raises(RuntimeError, match="once"):
        unroll.backward(outer)
