"""Soft-label dataset distillation: Algorithm 1 of Li et al. 2022, one outer step at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from sldd.labels import initial_labels
from sldd.norms import keep_no_statistics
from sldd.outer import State, descend
from sldd.streams import stream
from sldd.unroll import Unroll, Weights


@dataclass(frozen=True)
class Design:
    """What is distilled: M images in each of S batches, repeated for E epochs."""

    images: int
    steps: int = 1
    epochs: int = 1
    label_init: str = "one_hot"
    learn_labels: bool = True
    """False is dataset distillation with fixed labels (DD; Wang et al. 2018)."""


class Distillation:
    """Learns images, soft labels and inner rates for one network with a known start.

    Args:
        network: initialised; its parameters are the start ``theta_0`` and stay as they are.
        design: how many images, steps and epochs.
        input_size: side of the images in pixels.
        inner_lr: where the inner rates start.
        seed: names the noise from which the images start.
        device: where the tensors lie.
    """

    def __init__(
        self, network: nn.Module, design: Design, *, input_size: int, inner_lr: float, seed: int, device: torch.device
    ) -> None:
        self.network = network.to(device).train()
        keep_no_statistics(network)
        self._unroll = Unroll(network, [parameter.detach().clone() for parameter in network.parameters()])
        shape = (design.steps, design.images, 1, input_size, input_size)
        noise = torch.from_numpy(stream(seed, "noise").standard_normal(shape, dtype="float32"))
        labels = initial_labels(design.label_init, design.images).expand(design.steps, -1, -1)
        raw_rates = torch.full((design.epochs, design.steps), _inverse_softplus(inner_lr))
        self._learned: State = {
            "images": noise.to(device),
            "labels": labels.clone().to(device),
            "raw_rates": raw_rates.to(device),
        }
        self._optimised = [name for name in self._learned if name != "labels" or design.learn_labels]
        self._adam = torch.optim.Adam([self._learned[name] for name in self._optimised])

    def step(self, images: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """One outer step: Algorithm 1, lines 4 to 6. Returns L on the batch before the update."""
        learned = self._learned
        raw = learned["raw_rates"].detach().requires_grad_()
        rates = inner_rates({"raw_rates": raw})
        theta = self._unroll.steps(learned["images"], learned["labels"], rates)
        loss = F.cross_entropy(self._unroll.forward(theta, images), classes)
        outer = torch.autograd.grad(loss, theta, allow_unused=True, materialize_grads=True)
        gradients = self._unroll.adjoint(outer)
        (raw_gradient,) = torch.autograd.grad(rates, raw, gradients.rates)
        found = {"images": gradients.images, "labels": gradients.labels, "raw_rates": raw_gradient}
        descend(self._adam, [found[name] for name in self._optimised], rate)
        return loss.item()

    def weights(self, state: State) -> Weights:
        """``theta_opt`` of a state: the inner steps without their graphs (Algorithm 2)."""
        return self._unroll.steps(state["images"], state["labels"], inner_rates(state), differentiable=False)

    def forward(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """(batch, 3) logits under ``weights``."""
        return self._unroll.forward(weights, images)

    def state(self) -> State:
        """Images (S, M, 1, h, w), labels (S, M, 3) and raw rates (E, S)."""
        return {name: value.detach() for name, value in self._learned.items()}

    def state_dict(self) -> dict[str, Any]:
        """What is learned, and Adam's moments."""
        return {"learned": self.state(), "adam": self._adam.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        for name, value in saved["learned"].items():
            self._learned[name].copy_(value)
        self._adam.load_state_dict(saved["adam"])


def inner_rates(state: State) -> torch.Tensor:
    """(E, S) inner rates that a state stands for: softplus of what is learned, so that none can become negative."""
    return F.softplus(state["raw_rates"])


def _inverse_softplus(value: float) -> float:
    return value + math.log(-math.expm1(-value))
