"""Training on distilled images alone from a start that nobody has seen: the literature's protocol.

Gradient descent with momentum, weight decay, and a rate that falls to a tenth half way, over batches of the distilled
images in random order (Zhao et al. 2021: rate 0.01, momentum 0.9, decay 0.0005). Neither real images nor rates of the
maker are used: what is measured is what images and labels say to any network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import nn

from sldd.backbones.norms import even_batches, keep_no_statistics, load_statistics, measure_statistics
from sldd.ops.dispatch import Kernels
from sldd.rng import stream
from sldd.training.losses import CROSS_ENTROPY, Loss
from sldd.training.siamese import identity, siamese

_MOMENTUM, _DECAY = 0.9, 5e-4
BATCH = 256
"""Distilled images a step, at most."""


@dataclass(frozen=True)
class FreshSettings:
    """Other starts and networks that confirm trials train on their images, beside the known start."""

    starts: Annotated[int, Ge(0)] = 0
    """Fresh starts of each network; 0: the known start alone."""
    backbones: list[str] = field(default_factory=list)
    """Other networks, from as many fresh starts each."""
    steps: Annotated[int, Ge(1)] = 1000
    """Steps of training from such a start."""
    rate: Annotated[float, Gt(0)] = 0.01
    """Of gradient descent with momentum; a tenth of it in the second half."""
    augment: bool = False
    """Change each batch at random (``match.augment`` says how)."""


def train_fresh(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    settings: FreshSettings,
    seed: int,
    loss: Loss = CROSS_ENTROPY,
) -> float:
    """Train a network in place, and measure its batch norm on the distilled images.

    Args:
        network: initialised, on the images' device; in evaluation mode afterwards.
        images: (S, M, channels, height, width).
        labels: (S, M, classes).
        seed: names the order of batches.

    Returns:
        The mean loss of the last twentieth of the steps.

    Raises:
        ValueError: training diverged.
    """
    flat, truth = images.flatten(0, 1), labels.flatten(0, 1)
    if loss is CROSS_ENTROPY:
        truth = shares(truth)
    keep_no_statistics(network.train().requires_grad_())
    optimiser = torch.optim.SGD(network.parameters(), settings.rate, momentum=_MOMENTUM, weight_decay=_DECAY)
    batches, losses = _batches(len(flat), seed), []
    for step in range(settings.steps):
        if step == (settings.steps + 1) // 2:
            optimiser.param_groups[0]["lr"] = settings.rate / 10
        rows = torch.from_numpy(next(batches)).to(flat.device)
        change = siamese(stream(seed, "fresh change", step)) if settings.augment else identity
        optimiser.zero_grad()
        with Kernels(twice=False):
            found = loss.inner(network(change(flat[rows])), truth[rows])
        found.backward()
        optimiser.step()
        losses.append(found.detach())
    last = float(torch.stack(losses[-max(1, settings.steps // 20) :]).mean())
    if not math.isfinite(last):  # the network calls all images alike, which would be a score
        raise ValueError(f"training from a fresh start diverged: the loss is {last}; evaluate.rate may be too high")
    load_statistics(network, measure_statistics(network, network, even_batches(flat, BATCH)))
    network.eval().requires_grad_(False)
    return last


def shares(labels: torch.Tensor) -> torch.Tensor:
    """Soft labels as shares of one: what is below zero becomes zero. Learned freely they need not be, and then the
    cross-entropy has no minimum that training could converge to."""
    positive = labels.clamp(min=0) + torch.finfo(labels.dtype).tiny
    return positive / positive.sum(1, keepdim=True)


def _batches(count: int, seed: int) -> Iterator[np.ndarray]:
    """Rows of batches: all in one where they fit, else pass after pass in a new order."""
    number = 0
    while True:
        order = stream(seed, "fresh order", number).permutation(count)
        yield from np.array_split(order, math.ceil(count / BATCH))  # batch norm is never given a last one alone
        number += 1
