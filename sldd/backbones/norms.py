"""Batch normalisation: a network's norm setting, and ``theta_bn``, its shared running statistics.

In the inner steps and on real batches a network normalises with the batch's own statistics: nothing can leak from one
outer step into the next. ``theta_bn`` is used at test time only. It is measured when a state is evaluated, as a fresh
average over real training batches under that state's final weights (precise), or follows the real batches of all outer
steps as an exponential average, as published, and so lags behind the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = ("as_is", "batch", "none", "group", "instance")


def batch_norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """The batch-norm layers that can keep statistics, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and not isinstance(module, nn.modules.instancenorm._InstanceNorm)
    }


def keep_no_statistics(network: nn.Module) -> None:
    """Stop updates of running statistics: training mode uses the batch's, evaluation mode still the running ones."""
    for module in batch_norms(network).values():
        module.track_running_stats = False


@contextmanager
def tracking_statistics(network: nn.Module) -> Iterator[None]:
    """Context in which batch-norm layers update their running statistics, each with its own momentum."""
    layers = batch_norms(network).values()
    for layer in layers:
        layer.track_running_stats = True
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = False


def even_batches(images: torch.Tensor, most: int) -> tuple[torch.Tensor, ...]:
    """Batches of at most ``most`` images, as large as one another: statistics are plain averages over batches, and a
    last one of few images would count as much as the others."""
    return images.tensor_split(math.ceil(len(images) / most))


@torch.no_grad()
def measure_statistics(
    network: nn.Module, forward: Callable[[torch.Tensor], object], batches: Iterable[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Set the running statistics to the plain average over ``batches`` and return them as ``theta_bn``.

    Args:
        network: measured in training mode; its mode is as before afterwards.
        forward: runs the network on a batch under the weights in question.
        batches: (batch, channels, height, width) each.

    Returns:
        Mean and variance of every batch-norm layer by buffer name; empty for a network without.
    """
    layers = batch_norms(network)
    if not layers:
        return {}
    momenta = {name: layer.momentum for name, layer in layers.items()}
    training = network.training
    try:
        network.train()
        with tracking_statistics(network):
            for layer in layers.values():
                layer.reset_running_stats()
                layer.momentum = None  # PyTorch's word for a cumulative average
            for batch in batches:
                forward(batch)
    finally:
        network.train(training)
        for name, layer in layers.items():
            layer.momentum = momenta[name]
    return statistics(network)


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the running mean and variance of every batch-norm layer, by buffer name."""
    return {
        f"{name}.{buffer}": getattr(layer, buffer).clone()
        for name, layer in batch_norms(network).items()
        for buffer in ("running_mean", "running_var")
    }


@torch.no_grad()
def load_statistics(network: nn.Module, theta_bn: dict[str, torch.Tensor]) -> None:
    """Load ``theta_bn`` into the network (Algorithm 2, line 4)."""
    buffers = dict(network.named_buffers())
    for name, value in theta_bn.items():
        buffers[name].copy_(value)


def set_norm(network: nn.Module, norm: str) -> None:
    """Change a network's normalisation in place.

    ``as_is``: as built. ``batch``: a batch-norm layer after every convolution of a network that has none. ``none``:
    batch-norm layers removed. ``group``: replaced by group norm, of C channels in gcd(C, C // 16) groups: 16 channels
    each where 16 divides C, else more (120 channels are one group, 40 are two), and all in one group where C is less
    than 32. ``instance``: replaced by instance norm with learned scale.
    """
    if norm not in NORMS:
        raise ValueError(f"norm {norm!r}: one of {', '.join(NORMS)}")
    if norm == "as_is":
        return
    layers = batch_norms(network)
    if norm == "batch":
        if not layers:
            _add_batch_norm(network)
        return
    for name, layer in layers.items():
        replacement: nn.Module
        if norm == "group":
            channels = layer.num_features
            replacement = nn.GroupNorm(math.gcd(channels, max(1, channels // 16)), channels)
        elif norm == "instance":
            replacement = nn.InstanceNorm2d(layer.num_features, affine=True)
        else:
            replacement = nn.Identity()
        # timm's BatchNormAct2d carries the activation that follows it.
        activation = [getattr(layer, part) for part in ("drop", "act") if hasattr(layer, part)]
        network.set_submodule(name, nn.Sequential(replacement, *activation) if activation else replacement)


def _add_batch_norm(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            network.set_submodule(name, nn.Sequential(module, nn.BatchNorm2d(module.out_channels)))
