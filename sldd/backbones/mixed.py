"""Weights from other collections: copying a body across classifiers, and several bodies under one (mixed)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sldd.backbones.head import last_layer
from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.backbones.start import PRETRAINED, copy_weights, read_weights
from sldd.backbones.weights_file import StateDict, named_as
from sldd.errors import InputError


class Mixed(nn.Module):
    """Several networks' concatenated features under one linear classifier; each was trained on another collection.

    Args:
        networks: of one backbone, with classifiers, which are taken off.
        classes: of the new classifier.

    Raises:
        InputError: a network does not end in a linear layer.
    """

    def __init__(self, networks: Sequence[nn.Module], classes: int) -> None:
        super().__init__()
        features = 0
        for network in networks:
            path, last = last_layer(network)
            if not isinstance(last, nn.Linear):
                raise InputError(f"grid.transfer: a mixed model needs features, and this network ends in {path}, none")
            features += last.in_features
            network.set_submodule(path, nn.Identity())
        self.bodies = nn.ModuleList(networks)
        self.classifier = nn.Linear(features, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, channels, side, side) -> (batch, classes) logits."""
        return self.classifier(torch.cat([body(images).flatten(1) for body in self.bodies], 1))


def build_mixed(backbone: str, bodies: int, *, input_size: int, norm: str, channels: int = 1, classes: int) -> Mixed:
    """A mixed model of ``bodies`` networks of one backbone; see ``sldd.backbones.registry.build``."""
    networks = [
        build(backbone, input_size=input_size, norm=norm, channels=channels, classes=classes) for _ in range(bodies)
    ]
    return Mixed(networks, classes)


def carry_over(network: nn.Module, weights: StateDict, *, where: str, classes: int) -> None:
    """Copy all but the classifier from a network of the same backbone, whose classes are another collection's.

    Args:
        where: the weights' origin, as messages call it.

    Raises:
        InputError: a layer is missing or has another shape.
    """
    path, _ = last_layer(network)
    names = [name for name, _ in network.named_parameters() if not name.startswith(f"{path}.")]
    weights = named_as(weights, names, where)
    body = {name: weight for name, weight in weights.items() if not name.startswith(f"{path}.")}
    copy_weights(network, body, where=where, classes=classes)


def set_mixed_start(
    network: Mixed, starts: Sequence[StateDict | str], *, backbone: str, seed: int, pretrained: str = PRETRAINED
) -> None:
    """Set every parameter in place.

    Args:
        starts: of each body: weights of a whole network, or the word ``pretrained``.
        seed: of the classifier.
        pretrained: the file that this word stands for, where there is one.

    Raises:
        InputError: weights cannot be had or do not fit.
    """
    initialise(network, seed)
    for body, start in zip(network.bodies, starts, strict=True):
        given = read_weights(backbone, pretrained) if isinstance(start, str) else start
        copy_weights(body, given, where=backbone if isinstance(start, str) else "a trial", classes=-1)
