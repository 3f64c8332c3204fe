"""The learner, what an outer loop trains: a distillation or a network; and how its optimiser steps and resumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from sldd.data.prefetch import NumberedBatches
from sldd.ops.types import Memory, ScoredPart, Weights

State = dict[str, torch.Tensor]


class Learner(Protocol):
    """What the outer loop trains: a distillation, or a network."""

    network: nn.Module

    @property
    def memory(self) -> Memory | None:
        """How the graphs of its inner steps are held; None where it has none."""
        ...

    def begin(self, batches: NumberedBatches, real: Iterable[torch.Tensor]) -> NumberedBatches:
        """Called once before training: batches for ``step``, made from batches of real images.

        ``real`` are (batch, channels, height, width) images over which ``theta_bn`` can be measured.
        """
        ...

    def inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Inputs of ``step`` for real images: themselves, or their features."""
        ...

    def step(self, inputs: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """One update at this outer rate; returns the loss before it.

        ``inputs`` and ``classes`` are a batch as ``begin`` gives it: (batch,) classes, or (batch, classes) findings.
        """
        ...

    def weights(self, state: State) -> Weights:
        """Network weights that a state stands for."""
        ...

    def forward(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """(batch, classes) logits of (batch, channels, height, width) images under ``weights``."""
        ...

    def seen(self, parts: Iterator[ScoredPart], name: str | None) -> Iterator[ScoredPart]:
        """The parts with what ``logits`` takes for their images: the images themselves, or their features.

        ``name`` is the images' digest, under which a store may have the features; None where it cannot be told.
        """
        ...

    def logits(self, weights: Weights, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, classes) logits under ``weights``, of inputs as ``seen`` gives them."""
        ...

    def theta_bn(self, weights: Weights, real: Iterable[torch.Tensor]) -> State:
        """Batch-norm statistics that go with ``weights``; ``real`` are batches of patches to measure them over."""
        ...

    def learned(self) -> State:
        """The part of ``state`` that steps change, by name: asked for after each step, so it computes no more."""
        ...

    def state(self) -> State:
        """The whole current state, by name: what is learned and what follows from it; detached, not copied."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to resume, the optimiser included."""
        ...

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore from ``state_dict``."""
        ...


def apply_gradients(
    optimiser: torch.optim.Optimizer, gradients: Sequence[torch.Tensor], rates: Sequence[float]
) -> None:
    """One step of ``optimiser`` along gradients that were computed outside autograd's own bookkeeping.

    Args:
        gradients: of the parameters, in the order of the groups.
        rates: of the groups.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimiser.step()
    optimiser.zero_grad()


def load_optimiser(optimiser: torch.optim.Adam, saved: dict[str, Any]) -> None:
    """Load an optimiser's state.

    Adam counts steps on the CPU. A checkpoint that was loaded to a GPU has them there, and every parameter would make
    the GPU wait in every step.
    """
    optimiser.load_state_dict(saved)
    for state in optimiser.state.values():
        state["step"] = state["step"].cpu()
