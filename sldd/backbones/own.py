"""A user's own network: any module from images to one output for each class, in the place of a backbone's name."""

from __future__ import annotations

import copy

import torch
from torch import nn

from sldd.backbones.registry import distillable
from sldd.errors import InputError
from sldd.ops.types import InputSpec

OWN = "own/"
"""What the name of such a network begins with, before that of its class."""
GIVEN = "given"
"""A start: the weights that the module has."""


def own_name(network: nn.Module) -> str:
    """The name of a user's own network, as packages keep it."""
    return f"{OWN}{type(network).__name__}"


def own_network(network: nn.Module, spec: InputSpec) -> nn.Module:
    """A copy of a user's own network, ready to be distilled; the module itself stays as it is.

    Raises:
        InputError: its weights are not float32 or not there, or it does not give images one output for each class.
    """
    name, parameters = type(network).__name__, list(network.parameters())
    if not parameters:
        raise InputError(f"network {name}: has no parameters, so there is nothing to learn")
    if any(parameter.is_meta for parameter in parameters):
        raise InputError(f"network {name}: its weights are on the meta device; make it on a device that has memory")
    if other := {parameter.dtype for parameter in parameters} - {torch.float32}:
        kind = str(other.pop()).removeprefix("torch.")
        raise InputError(
            f"network {name}: has weights of {kind}, and distillations are in float32; give network.float()"
        )
    own = distillable(copy.deepcopy(network).cpu().requires_grad_(True))
    shape = (2, spec.channels, spec.side, spec.side)
    seen = " x ".join(map(str, shape))
    try:
        with torch.no_grad():
            found = own.eval()(torch.zeros(shape))
    except Exception as error:  # whatever a module says of its input
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"network {name}: cannot take {seen} images ({reason}); give it that input, or set patches.input_size"
        ) from None
    wanted = (2, len(spec.classes))
    if not torch.is_tensor(found) or found.shape != wanted:
        what = " x ".join(map(str, found.shape)) if torch.is_tensor(found) else f"a {type(found).__name__}"
        raise InputError(
            f"network {name}: gives {what} for {seen} images, not {' x '.join(map(str, wanted))}: one output for "
            f"each of {', '.join(spec.classes)}"
        )
    return own.train()
