"""Ordinary supervised training on real patches: the baseline of a distillation, on the same budget of batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import nn
from torch.func import functional_call

from sldd.backbones.norms import (
    keep_no_statistics,
    load_statistics,
    measure_statistics,
    statistics,
    tracking_statistics,
)
from sldd.data.prefetch import NumberedBatches
from sldd.ops.layout import channels_last, gains_in_training
from sldd.ops.types import ScoredPart, Weights
from sldd.training.compute import ComputeSettings, outer_gradient
from sldd.training.learner import State, apply_gradients, load_optimiser
from sldd.training.losses import CROSS_ENTROPY, Loss
from sldd.training.outer_settings import OuterSettings


@dataclass(frozen=True)
class TrainSettings:
    """What is different for ordinary training."""

    steps: Annotated[int, Ge(1)] | None = None
    """As in ``outer`` unless given: a distillation that changes the last layer only takes many more and larger steps
    in the same time."""
    batch_size: Annotated[int, Ge(3)] | None = None
    """As in ``outer`` unless given."""

    def budget(self, outer: OuterSettings, patches: int, epochs: int | None = None) -> OuterSettings:
        """The outer loop's settings, with passes over so many patches as steps."""
        passes = replace(outer, batch_size=self.batch_size or outer.batch_size).over(patches, epochs)
        return replace(passes, steps=self.steps or passes.steps)


class Training:
    """Adam on all weights of a network, from the same start and through the same outer loop as a distillation.

    Args:
        beside: (n, channels, side, side) images and their (n, classes) soft labels. Their gradient is added to that of
            every batch, with the same weight.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        compute: ComputeSettings = ComputeSettings(),
        track_statistics: bool = False,
        loss: Loss = CROSS_ENTROPY,
        beside: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self.network = network.to(device).to(memory_format=compute.memory_format).train()
        self._compute, self._track_statistics, self._loss = compute, track_statistics, loss.outer
        self._soft_loss = loss.inner
        self._beside = None if beside is None else tuple(part.to(device) for part in beside)
        keep_no_statistics(network)
        self._channels_last = gains_in_training(network)
        self._names = [name for name, _ in network.named_parameters()]
        self._weights = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]
        self._adam = torch.optim.Adam(self._weights)

    memory = None

    def begin(self, batches: NumberedBatches, real: Iterable[torch.Tensor]) -> NumberedBatches:
        """Batches of patches, as they come."""
        return batches

    def inputs(self, images: torch.Tensor) -> torch.Tensor:
        """The images themselves."""
        return images

    def step(self, images: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """One Adam step on a batch; the loss before it."""
        with tracking_statistics(self.network) if self._track_statistics else nullcontext():
            loss, gradients = outer_gradient(self.forward, self._weights, images, classes, self._compute, self._loss)
        if self._beside is not None:
            soft = self._soft_loss(self.forward(self._weights, self._beside[0]), self._beside[1])
            gradients = list(torch._foreach_add(gradients, torch.autograd.grad(soft, self._weights)))
        apply_gradients(self._adam, gradients, [rate])
        return float(loss)

    def weights(self, state: State) -> Weights:
        """The weights themselves."""
        return [state[name] for name in self._names]

    def forward(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """(batch, classes) logits of (batch, channels, height, width) images under ``weights``."""
        weights = channels_last(weights) if self._channels_last else weights
        return functional_call(self.network, dict(zip(self._names, weights, strict=True)), (images,))

    def seen(self, parts: Iterator[ScoredPart], name: str | None) -> Iterator[ScoredPart]:
        """The images themselves."""
        return parts

    logits = forward

    def theta_bn(self, weights: Weights, real: Iterable[torch.Tensor]) -> State:
        """Statistics that go with ``weights``: measured over ``real``, or as the steps left them."""
        if self._track_statistics:
            return statistics(self.network)
        return measure_statistics(self.network, lambda images: self.forward(weights, images), real)

    def learned(self) -> State:
        """All weights by name."""
        return {name: weight.detach() for name, weight in zip(self._names, self._weights, strict=True)}

    state = learned

    def state_dict(self) -> dict[str, Any]:
        """Weights, Adam's moments and running statistics."""
        kept = statistics(self.network) if self._track_statistics else {}
        return {"weights": self.state(), "adam": self._adam.state_dict(), "statistics": kept}

    @torch.no_grad()
    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore from ``state_dict``."""
        for weight, name in zip(self._weights, self._names, strict=True):
            weight.copy_(saved["weights"][name])
        load_optimiser(self._adam, saved["adam"])
        load_statistics(self.network, saved["statistics"])
