"""The unrolled inner steps and their exact gradient (adjoint): the heart of a distillation.

From a fixed start ``theta_0`` a few gradient steps are taken on the distilled images (Li et al. 2022, Eq. 1 and 5),
with momentum ``m`` where asked for (zero as published):

    g_i = grad_theta l(x_s, y_s, theta_i),      v_{i+1} = m v_i + g_i,      theta_{i+1} = theta_i - a_i v_{i+1}

with i = e S + s, and the outer loss L(theta_opt) is differentiated with respect to images x, labels y and rates a.
Reverse mode does that exactly, one step at a time. With the adjoints lambda = dL/dtheta_{i+1} and
nu = dL/dv_{i+1} = m nu_next - a_i lambda, step i contributes

    dL/da_i  = -<lambda, v_{i+1}>
    dL/dx_s +=  d<g_i, nu>/dx_s,      dL/dy_s += d<g_i, nu>/dy_s
    lambda  <-  lambda + d<g_i, nu>/dtheta_i         (not needed at the first step: theta_0 is fixed)

so only the graph of one inner gradient is ever differentiated, and it is freed before the next one. Each step's graph
is either kept from the forward pass, or made again from the weights at that step; of those, only a few are kept
(``sldd.distillation.snapshots``) and the others reached again. Both give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.func import functional_call

from sldd.distillation.inner_gradient import EagerGradient, Products, TracedGradient, program_or_eager
from sldd.distillation.snapshots import next_snapshot
from sldd.ops.layout import channels_last, gains_in_training
from sldd.ops.memory import SavedTensors, free_memory
from sldd.ops.types import Memory, Weights
from sldd.training.losses import soft_cross_entropy

SNAPSHOTS = 2
"""Weights kept at a time when recomputing: at 9 steps 13 are taken instead of 8, at 27 steps 73 instead of 26."""


_Rate = float | list[float] | list[torch.Tensor]
"""Of an inner step: one for all parameters, or one for each."""


@dataclass
class _InnerState:
    """The weights before inner step ``number``, and the velocity where there is momentum."""

    number: int
    theta: Weights
    velocity: Weights | None


@dataclass
class _InnerStep(_InnerState):
    """An inner step, cut off from its neighbours: its gradient, and where kept, what is pulled back through it."""

    gradient: Weights
    products: Products | None


@dataclass
class Gradients:
    """dL with respect to what is learned, shaped like it: images (S, M, ...), labels (S, M, C), rates (E, S[, T])."""

    images: torch.Tensor
    labels: torch.Tensor
    rates: torch.Tensor


class Unroll:
    """Takes the inner steps of one network and differentiates through them.

    Args:
        network: its parameters are the start ``theta_0``. In training mode; batch norm must keep no statistics
            (``sldd.backbones.norms.keep_no_statistics``) and nothing in it may be random, or the steps could not be
            repeated elsewhere. Its parameters stay as they are and no longer ask for gradients: inner steps change
            copies.
        momentum: ``m`` above.
        memory: ``keep`` each step's graph, ``recompute`` it, or ``auto``: keep where all graphs take at most half of
            the memory that is free at the first call.
        autocast: a floating type narrower than the weights' in which inner steps run; None for the weights' own.
        loss: of logits and soft labels, both (M, classes); twice differentiable in both.
        traced: take steps by a program where one gives the same bits (``sldd.distillation.inner_gradient``).
        rates_stay: keep rates as tensors on their device. To read them as numbers makes the CPU wait for the GPU once,
            which a recorded CUDA graph cannot do; as tensors they take an operation for each parameter.

    Attributes:
        names, start: of the T parameter tensors that inner steps change, and ``theta_0``.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        momentum: float = 0.0,
        memory: Memory = "keep",
        autocast: torch.dtype | None = None,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = soft_cross_entropy,
        traced: bool = True,
        rates_stay: bool = False,
    ) -> None:
        self._network = network.requires_grad_(False)
        self.names = [name for name, _ in network.named_parameters()]
        self.start = [parameter.detach() for parameter in network.parameters()]
        self._momentum = momentum
        self._channels_last = gains_in_training(network)
        self._eager = EagerGradient(self.logits, loss, autocast)
        self._program: TracedGradient | None = None
        self._to_trace = traced
        self.memory = memory  # what ``auto`` chose, after the first steps
        self._images = self._labels = torch.empty(0)
        self._rates_stay = rates_stay
        self._rates: list[list[_Rate]] = []
        self._rates_like = torch.empty(0)
        self._tape: list[_InnerState] = []

    @property
    def traced(self) -> bool:
        """Whether inner steps run by a recorded program; known after the first differentiable ``steps``."""
        return self._program is not None

    def forward(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """Logits of the network under ``weights``, (batch, classes), for at most one derivative."""
        return self.logits(channels_last(weights) if self._channels_last else weights, images)

    def logits(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """As ``forward``, for two derivatives: the weights stay in PyTorch's usual layout, which those want."""
        logits: torch.Tensor = functional_call(self._network, dict(zip(self.names, weights, strict=True)), (images,))
        return logits

    def steps(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        rates: torch.Tensor,
        *,
        differentiable: bool = True,
        stop: int | None = None,
        window: int | None = None,
    ) -> Weights:
        """Take inner steps from the start.

        Args:
            images: (S, M, channels, height, width).
            labels: (S, M, classes).
            rates: (E, S), or (E, S, T) with one rate for each of the T parameters; used as they are.
            differentiable: prepare for ``backward``; without, nothing but the last weights is kept.
            stop: steps to take, all S x E by default.
            window: the last steps that ``backward`` goes back through, all by default (truncated backpropagation).

        Returns:
            The weights after the last step: leaves that require gradients if differentiable.
        """
        self._network.train()  # in evaluation mode the same images would give another network
        self._images, self._labels = images.detach(), labels.detach()
        self._rates, self._rates_like = self._by_step(rates.detach()), rates.detach().to(images.device)
        self._tape = []
        stop = math.prod(rates.shape[:2]) if stop is None else stop
        first = 0 if window is None else max(0, stop - window)
        initial = _InnerState(0, self.start, None)
        if not differentiable:
            return self._advance(initial, stop).theta
        if self.memory == "auto":
            self.memory = self._fitting(stop - first)
        if self._to_trace and self._images.is_cpu:
            self._program = TracedGradient.of(self._eager, self.start, self._images[0], self._labels[0])
        self._to_trace = False
        last = self._advance_recording(self._advance(initial, first), stop)
        return [weight.detach().requires_grad_() for weight in self._after(last).theta]

    def _by_step(self, rates: torch.Tensor) -> list[list[_Rate]]:
        """Rates by [epoch][batch]: a number, or a list of one for each parameter; of tensors where ``rates_stay``."""
        if not self._rates_stay:
            numbers: list[list[_Rate]] = rates.tolist()
            return numbers
        return [[list(rate.expand(len(self.names))) for rate in epoch] for epoch in rates]

    def first_gradients(self, images: torch.Tensor, labels: torch.Tensor) -> list[Weights]:
        """The inner gradient at the start on each of the S batches, without their graphs."""
        self._network.train()
        self._images, self._labels, self._tape = images.detach(), labels.detach(), []
        return [
            self._step(_InnerState(batch, self.start, None), differentiable=False).gradient
            for batch in range(len(images))
        ]

    def backward(self, outer: Sequence[torch.Tensor]) -> Gradients:
        """Backpropagate ``outer`` = dL/dtheta_opt through the steps taken last.

        Graphs are freed on the way, and ``outer`` is overwritten.
        """
        if not self._tape:
            raise RuntimeError("backward needs the graphs of steps(..., differentiable=True), and needs them once")
        grads = Gradients(*map(torch.zeros_like, (self._images, self._labels, self._rates_like)))
        adjoint, carried = [gradient.contiguous() for gradient in outer], None
        end = 0  # where the steps still to be gone back through end; the last step, which has its graph, sets it first
        while self._tape:
            state = self._tape.pop()
            if not isinstance(state, _InnerStep):
                self._advance_recording(state, end)
                continue
            carried = self._backward_step(state, adjoint, carried, grads, first=not self._tape)
            end = state.number
        return grads

    def _backward_step(
        self, step: _InnerStep, adjoint: Weights, carried: Weights | None, grads: Gradients, *, first: bool
    ) -> Weights | None:
        """One step of the adjoint: adds to ``grads``, takes lambda a step back in place, and returns m nu."""
        epoch, batch = divmod(step.number, len(self._images))
        rate = self._rates[epoch][batch]
        velocity = self._velocity(step)
        products = torch.stack([torch.vdot(a.flatten(), v.flatten()) for a, v in zip(adjoint, velocity, strict=True)])
        del velocity
        grads.rates[epoch, batch] = -products if grads.rates.ndim == 3 else -products.sum()
        if isinstance(rate, list) or self._momentum:
            minus_rate: Any = [-r for r in rate] if isinstance(rate, list) else -rate
            nu, factor = list(torch._foreach_mul(adjoint, minus_rate)), 1.0
        else:
            nu, factor = adjoint, -rate  # the true nu is factor * nu: that saves a copy of lambda
        if carried is not None:
            torch._foreach_add_(nu, carried)
        assert step.products is not None
        vjps = step.products(nu, not first)
        grads.images[batch].add_(vjps[0], alpha=factor)
        grads.labels[batch].add_(vjps[1], alpha=factor)
        if first:
            return None
        torch._foreach_add_(adjoint, vjps[2:], alpha=factor)
        return list(torch._foreach_mul(nu, self._momentum)) if self._momentum else None

    def _advance_recording(self, state: _InnerState, end: int) -> _InnerStep:
        """Take steps up to ``end``, with what ``backward`` needs on the tape; returns the last one with its graph."""
        first = self._tape[0].number if self._tape else state.number
        while state.number < end - 1:
            if self.memory == "keep":
                step = self._step(state)
                self._tape.append(step)
                state = self._after(step)
            else:
                self._tape.append(state)
                # Snapshots in use: the first state is held anyhow.
                held = sum(kept.number > first for kept in self._tape)
                state = self._advance(state, state.number + next_snapshot(end - state.number, SNAPSHOTS - held))
        last = self._step(state)
        self._tape.append(last)
        return last

    def _advance(self, state: _InnerState, end: int) -> _InnerState:
        """Take steps up to ``end``, keeping nothing on the way."""
        held = state  # by the tape, or the start: the only weights that must stay as they are
        while state.number < end:
            state = self._after(self._step(state, differentiable=False), overwrite=state is not held)
        return state

    def _step(self, state: _InnerState, *, differentiable: bool = True) -> _InnerStep:
        """The step from ``state``: its inner gradient, with the products that ``backward`` needs if differentiable."""
        batch = state.number % len(self._images)
        theta, images, labels = state.theta, self._images[batch], self._labels[batch]
        inner = program_or_eager(self._program, self._eager, images, labels)
        if differentiable:
            gradient, products = inner.linearised(theta, images, labels)
            return _InnerStep(state.number, theta, state.velocity, gradient, products)
        return _InnerStep(state.number, theta, state.velocity, inner.gradient(theta, images, labels), None)

    @torch.no_grad()
    def _after(self, step: _InnerStep, *, overwrite: bool = False) -> _InnerState:
        """The state after a step, in the memory of the one before it where nobody needs that any more."""
        epoch, batch = divmod(step.number, len(self._images))
        velocity = self._velocity(step)
        rate = self._rates[epoch][batch]
        change, alpha = (torch._foreach_mul(velocity, rate), 1.0) if isinstance(rate, list) else (velocity, rate)
        theta = step.theta
        if overwrite:
            torch._foreach_sub_(theta, change, alpha=alpha)
        else:
            theta = list(torch._foreach_sub(theta, change, alpha=alpha))
        return _InnerState(step.number + 1, theta, velocity if self._momentum else None)

    @torch.no_grad()
    def _velocity(self, step: _InnerStep) -> Weights:
        if step.velocity is None:
            return step.gradient
        return list(torch._foreach_add(step.gradient, step.velocity, alpha=self._momentum))

    def _fitting(self, steps: int) -> Literal["keep", "recompute"]:
        """Measure the first step's graph and compare all of them with the memory that is free."""
        with SavedTensors() as saved:
            gradient, _ = self._eager.linearised(self.start, self._images[0], self._labels[0])
        graph = saved.nbytes + sum(g.untyped_storage().nbytes() for g in gradient)
        return "keep" if steps * graph <= free_memory(self._images.device) / 2 else "recompute"
