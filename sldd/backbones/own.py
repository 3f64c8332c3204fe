"""A user's own network: any module from images to one output for each class, in the place of a backbone's name."""

from __future__ import annotations

import copy

import torch
from torch import nn

from sldd.backbones.init import initialise
from sldd.backbones.norms import batch_norms, keep_no_statistics
from sldd.backbones.registry import distillable
from sldd.errors import InputError
from sldd.ops.types import InputSpec
from sldd.rng import stream

OWN = "own/"
"""What the name of such a network begins with, before that of its class."""
GIVEN = "given"
"""A start: the weights that the module has."""
_SEEDS = 16
"""Tried of a network that draws: what seldom drops a layer mostly gives the same."""


def own_name(network: nn.Module) -> str:
    """The name of a user's own network, as packages keep it."""
    return f"{OWN}{type(network).__name__}"


def own_network(network: nn.Module, spec: InputSpec) -> nn.Module:
    """A copy of a user's own network, ready to be distilled; the module itself stays as it is.

    Raises:
        InputError: its weights are not float32 or not there, it does not give images one output for each class, or in
            training mode it is random or changes buffers that a package does not keep.
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
    for path, layer in batch_norms(own).items():
        if layer.running_mean is None:
            raise InputError(
                f"network {name}: batch norm {path} keeps no statistics, and scores need them; make it with "
                "track_running_stats=True"
            )
    shape = (2, spec.channels, spec.side, spec.side)
    with torch.random.fork_rng(devices=()):  # the user's own random numbers stay as they are
        _outputs(own.eval(), torch.zeros(shape), name, spec)
        _check_training(own, torch.from_numpy(stream(0, "own network").standard_normal(shape, "float32")), name, spec)
    return own.train()


def _outputs(own: nn.Module, images: torch.Tensor, name: str, spec: InputSpec) -> torch.Tensor:
    """What it gives for the images: one output for each class."""
    seen = " x ".join(map(str, images.shape))
    try:
        with torch.no_grad():
            found = own(images)
    except Exception as error:  # whatever a module says of its input
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"network {name}: cannot take {seen} images ({reason}); give it that input, or set patches.input_size"
        ) from None
    wanted = (len(images), len(spec.classes))
    if not torch.is_tensor(found) or found.shape != wanted:
        what = " x ".join(map(str, found.shape)) if torch.is_tensor(found) else f"a {type(found).__name__}"
        raise InputError(
            f"network {name}: gives {what} for {seen} images{' in training mode' * own.training}, not "
            f"{' x '.join(map(str, wanted))}: one output for each of {', '.join(spec.classes)}"
        )
    return found


def _check_training(own: nn.Module, images: torch.Tensor, name: str, spec: InputSpec) -> None:
    """Refuse a network whose inner steps would be random, or would leave more behind than weights."""
    twin = copy.deepcopy(own).train()  # takes what the forward pass leaves behind
    keep_no_statistics(twin)
    initialise(twin, 0)  # a last layer that starts at zero would hide what is random before it
    buffers = {path: buffer.clone() for path, buffer in twin.named_buffers()}
    first: torch.Tensor | None = None
    for seed in range(_SEEDS):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        found = _outputs(twin, images, name, spec).nan_to_num()
        for path, buffer in twin.named_buffers():
            if path not in buffers or not torch.equal(buffer, buffers[path]):
                raise InputError(
                    f"network {name}: its buffer {path} changes in training mode, and a package keeps batch norm's "
                    "statistics only; take out what changes it (of instance norm, track_running_stats)"
                )
        if first is not None and not torch.equal(found, first):
            raise InputError(
                f"network {name}: is random in training mode, and the same images must always give the same "
                "weights; take out what draws (torch.nn.Dropout may stay: it is switched off)"
            )
        if first is not None and torch.equal(torch.get_rng_state(), state):
            return  # nothing was drawn, so other seeds would give the same
        first = found
