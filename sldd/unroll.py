"""The inner steps and their adjoint: the heart of a distillation.

From a fixed start ``theta_0`` a few gradient steps are taken on the distilled images (Li et al. 2022, Eq. 1 and 5):

    theta_{i+1} = theta_i - a_i g_i,      g_i = grad_theta l(x_s, y_s, theta_i),      i = e S + s

and the outer loss L(theta_opt) is differentiated with respect to images x, labels y and rates a. Reverse mode does
that exactly, one step at a time. With the adjoint lambda = dL/dtheta_{i+1}, step i contributes

    dL/da_i  = -<lambda, g_i>
    dL/dx_s +=  d<g_i, -a_i lambda>/dx_s,      dL/dy_s += d<g_i, -a_i lambda>/dy_s
    lambda  <-  lambda + d<g_i, -a_i lambda>/dtheta_i         (not needed at the first step: theta_0 is fixed)

so only the graph of one inner gradient is ever differentiated, and it is freed before the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

Weights = list[torch.Tensor]


def soft_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of ``-sum_c y_c log softmax(z)_c``; twice differentiable in both arguments.

    Args:
        logits, labels: (batch, classes).
    """
    return -(labels * logits.log_softmax(1)).sum(1).mean()


@dataclass
class _Step:
    """One inner step, cut off from its neighbours: leaves in, inner gradient out (with its graph, if kept)."""

    theta: Weights
    images: torch.Tensor
    labels: torch.Tensor
    gradient: Weights


@dataclass
class Gradients:
    """dL with respect to what is learned, shaped like it: images (S, M, ...), labels (S, M, C), rates (E, S)."""

    images: torch.Tensor
    labels: torch.Tensor
    rates: torch.Tensor


class Unroll:
    """Takes the inner steps of one network and pulls gradients back through them.

    Args:
        network: in training mode; batch norm must keep no statistics (``sldd.norms.keep_no_statistics``) and nothing
            in it may be random, or the steps could not be repeated elsewhere.
        start: ``theta_0`` in the order of ``network.named_parameters()``.
    """

    def __init__(self, network: nn.Module, start: Sequence[torch.Tensor]) -> None:
        self._network = network
        self._names = [name for name, _ in network.named_parameters()]
        self._start = [weight.detach() for weight in start]
        self._steps: list[_Step] = []
        self._rates = torch.empty(0)

    def forward(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """Logits of the network under ``weights``: (batch, classes)."""
        return functional_call(self._network, dict(zip(self._names, weights, strict=True)), (images,))

    def steps(
        self, images: torch.Tensor, labels: torch.Tensor, rates: torch.Tensor, *, differentiable: bool = True
    ) -> Weights:
        """Take S x E inner steps from the start.

        Args:
            images: (S, M, channels, height, width).
            labels: (S, M, classes).
            rates: (E, S), all used as they are.
            differentiable: keep each step's graph for ``adjoint``; without, only the weights are kept.

        Returns:
            ``theta_opt``: leaves that require gradients if differentiable.
        """
        self._network.train()  # in evaluation mode the same images would give another network
        self._steps, self._rates = [], rates.detach()
        theta = self._start
        epochs, batches = rates.shape
        for epoch in range(epochs):
            for batch in range(batches):
                theta = [weight.detach().requires_grad_() for weight in theta]
                step = self._step(theta, images[batch], labels[batch], differentiable)
                if differentiable:
                    self._steps.append(step)
                with torch.no_grad():
                    scaled = torch._foreach_mul(step.gradient, self._rates[epoch, batch])
                    theta = list(torch._foreach_sub(theta, scaled))
        return [weight.detach().requires_grad_(differentiable) for weight in theta]

    def _step(self, theta: Weights, images: torch.Tensor, labels: torch.Tensor, differentiable: bool) -> _Step:
        x = images.detach().requires_grad_(differentiable)
        y = labels.detach().requires_grad_(differentiable)
        # Fused attention has no second derivative; the math kernel gives the same values up to rounding.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            loss = soft_cross_entropy(self.forward(theta, x), y)
            gradient = torch.autograd.grad(
                loss, theta, create_graph=differentiable, allow_unused=True, materialize_grads=True
            )
        return _Step(theta, x, y, list(gradient))

    def adjoint(self, outer: Sequence[torch.Tensor]) -> Gradients:
        """Pull ``outer`` = dL/dtheta_opt back through the steps taken last; their graphs are freed on the way."""
        epochs, batches = self._rates.shape
        if len(self._steps) != epochs * batches:
            raise RuntimeError("adjoint needs the graphs of steps(..., differentiable=True), and needs them once")
        images = torch.zeros_like(torch.stack([step.images for step in self._steps[:batches]]))
        labels = torch.zeros_like(torch.stack([step.labels for step in self._steps[:batches]]))
        rates = torch.zeros_like(self._rates)
        adjoint = list(outer)
        for number in reversed(range(epochs * batches)):
            epoch, batch = divmod(number, batches)
            step = self._steps.pop()
            products = [(a * g.detach()).sum() for a, g in zip(adjoint, step.gradient, strict=True)]
            rates[epoch, batch] = -torch.stack(products).sum()
            kept = [(g, a) for g, a in zip(step.gradient, adjoint, strict=True) if g.requires_grad]
            pulled = torch.autograd.grad(
                [g for g, _ in kept],
                [step.images, step.labels, *(step.theta if number else [])],
                [a * -self._rates[epoch, batch] for _, a in kept],
                allow_unused=True,
                materialize_grads=True,
            )
            images[batch] += pulled[0]
            labels[batch] += pulled[1]
            if number:
                adjoint = list(torch._foreach_add(adjoint, list(pulled[2:])))
        return Gradients(images, labels, rates)
