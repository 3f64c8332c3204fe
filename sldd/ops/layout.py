"""Memory layout of convolutional networks: channels last on a CPU, but where something is differentiated twice.

PyTorch's convolutions on a CPU bring every map and every weight into an order of their own and back, unless channels
come last, as they do in that order. On a CPU with AVX2 forward passes then take half to nine tenths of the time, and
passes with one derivative 0.7 to 0.95 of it; values are the same but for rounding. Not so with fewer channels than a
vector has places: LeNet, with six, takes half as long again. The kernels for second derivatives want maps the
other way round, and on a GPU, where nothing was measured, everything stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sldd.ops.types import Weights

_SLOW_CHANNELS_LAST = (nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
"""Norms whose backward pass takes longer with channels last than convolutions gain."""
_FEWEST = 8
"""Channels of the first map: float32 values in a vector of AVX2."""


def channels_last(weights: Weights) -> Weights:
    """Weights as a forward pass reads them best: those of convolutions with channels last, on a CPU, unless the first
    has too few."""
    first = next((weight for weight in weights if weight.ndim == 4), None)
    if first is None or len(first) < _FEWEST:
        return weights
    # Not ``contiguous``, which leaves the strides of gray images' weights alone, and so the order of all maps.
    return [
        weight.to(memory_format=torch.channels_last) if weight.is_cpu and weight.ndim == 4 else weight
        for weight in weights
    ]


def to_channels_last(network: nn.Module) -> nn.Module:
    """The network, its own weights in the layout of ``channels_last``."""
    parameters = list(network.parameters())
    for parameter, turned in zip(parameters, channels_last([each.data for each in parameters]), strict=True):
        parameter.data = turned
    return network


def gains_in_training(network: nn.Module) -> bool:
    """Whether a pass with one derivative, in training mode, is faster with channels last as well."""
    return not any(isinstance(module, _SLOW_CHANNELS_LAST) for module in network.modules())


def in_layout_of(gradient: Sequence[torch.Tensor], weights: Weights) -> Weights:
    """A gradient in the layout of its weights, which optimisers and adjoints go through together."""
    return [
        part if part.stride() == weight.stride() else torch.empty_like(weight).copy_(part)
        for part, weight in zip(gradient, weights, strict=True)
    ]
