"""Features of images: what the last layer of a network is given, under any weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from sldd.backbones.head import caught_inputs, last_layer
from sldd.ops.types import Weights


class Embedding:
    """A network without its last layer, as a function of weights and images; differentiable in both.

    Batch norm normalises with the batch where the network is in training mode.

    Args:
        network: says what is computed; its own parameters are not used.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._names = [name for name, _ in network.named_parameters()]
        _, self._last = last_layer(network)

    def __call__(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """(batch, features) of (batch, channels, height, width) under weights in the network's order."""
        with caught_inputs(self._last) as caught:
            functional_call(self._network, dict(zip(self._names, weights, strict=True)), (images,))
        return caught[-1].flatten(1)
