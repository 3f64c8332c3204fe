"""The network of a cell, and where it starts, where other collections have trained it first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from ledger.storage import open_folder
from sldd.backbones.init import initialise
from sldd.backbones.mixed import Mixed, build_mixed, carry_over, set_mixed_start
from sldd.backbones.registry import build
from sldd.backbones.start import PRETRAINED, set_start
from sldd.errors import InputError

WEIGHTS = "weights.safetensors"
"""What a confirm trial on another collection leaves in its folder."""


def build_network(facts: Mapping[str, Any], *, backbone: str, norm: str, input_size: int, classes: int) -> nn.Module:
    """The network of a cell or trial: one of its backbone, or a mixed model of several.

    Raises:
        InputError: it cannot be built.
    """
    bodies = mixed_bodies(facts)
    if bodies:
        return build_mixed(backbone, bodies, input_size=input_size, norm=norm, classes=classes)
    return build(backbone, input_size=input_size, norm=norm, classes=classes)


def mixed_bodies(facts: Mapping[str, Any]) -> int:
    """Bodies of a mixed model; 0 where a cell has none."""
    return len(facts["chain"]) if facts.get("transfer") == "mixed" and not facts.get("stage") else 0


def set_transfer_start(network: nn.Module, config: Mapping[str, Any], start: str, classes: int) -> None:
    """Set every parameter in place: from what the trials left that this one goes on from, else from its own start.

    Args:
        config: of the trial; ``starts_from`` names trials of the same study, None stands for a pretrained body.
        start: as of ``sldd.backbones.start.set_start``.

    Raises:
        InputError: weights cannot be had or do not fit.
    """
    backbone, seed, earlier = config["backbone"], config["seed"], config.get("starts_from") or []
    if isinstance(network, Mixed):
        bodies = [PRETRAINED if name is None else _weights(config, name) for name in earlier]
        set_mixed_start(network, bodies, backbone=backbone, seed=seed, pretrained=start)
    elif earlier:
        initialise(network, seed)
        carry_over(network, _weights(config, earlier[0]), where=earlier[0], classes=classes)
    else:
        set_start(network, backbone=backbone, start=start, seed=seed, classes=classes)


def _weights(config: Mapping[str, Any], trial: str) -> dict[str, torch.Tensor]:
    trials = open_folder(config["folder"]).parent.parent
    path = trials / trial / WEIGHTS
    try:
        return load(path.read_bytes())
    except Exception as error:  # the format has errors of its own
        raise InputError(f"{trial}: its {WEIGHTS} cannot be read ({type(error).__name__}); delete that trial") from None


def to_bytes(names: Sequence[str], state: Mapping[str, torch.Tensor]) -> bytes:
    """A file of weights of a trained network."""
    return save({name: state[name].detach().cpu().contiguous() for name in names})
