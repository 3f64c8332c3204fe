"""The start ``theta_0`` of a cell: drawn from a seed, pretrained weights, or a weights file.

A public start is the cheapest thing two hospitals can share: a name, or a file that both already have.

``near_linear`` is Xavier's with shifted norms (``sldd.backbones.near_linear``): in deep networks with batch norm one
inner step then teaches what it else does not in thousands of outer steps.
"""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import timm
import torch
import torchvision
from torch import nn

from sldd.backbones.head import last_layer
from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.near_linear import norm_shift
from sldd.backbones.registry import check_name
from sldd.backbones.weights_file import check_values, common_prefix, named_as, read_file
from sldd.data.patches import CLASSES
from sldd.errors import InputError

XAVIER, NEAR_LINEAR, PRETRAINED = "xavier", "near_linear", "pretrained"
SEEDED = (XAVIER, NEAR_LINEAR)
"""Starts that are drawn from a seed."""
FILE_ENDINGS = (".safetensors", ".pt", ".pth")


def set_start(network: nn.Module, *, backbone: str, start: str, seed: int, classes: int = len(CLASSES)) -> None:
    """Set every parameter in place.

    Args:
        network: as ``sldd.backbones.registry.build`` gives it.
        backbone: its name.
        start: ``xavier`` or ``near_linear``; ``pretrained``, the weights that timm or torchvision publish under the
            backbone's name; or a file with a state dictionary of the same backbone (``.safetensors``, ``.pt``,
            ``.pth``).
        seed: of the Xavier weights; of the classifier where the others have none for as many classes.
        classes: that the network has.

    Raises:
        InputError: the weights cannot be had, or do not fit; the message names the layer.
    """
    initialise(network, seed, shift=norm_shift(network) if start == NEAR_LINEAR else 0.0)
    if start not in SEEDED:
        where = backbone if start == PRETRAINED else start
        copy_weights(network, read_weights(backbone, start), where=where, classes=classes)


def start_of(backbone: str, start: str, files: dict[str, str]) -> str:
    """The file that ``pretrained`` stands for where there is one of this backbone; the start itself elsewhere."""
    return files.get(backbone, start) if start == PRETRAINED else start


def read_weights(backbone: str, start: str) -> dict[str, torch.Tensor]:
    """Weights by parameter name, from the library that knows the backbone or from a file.

    Raises:
        InputError: they cannot be downloaded, or the file cannot be read.
    """
    return _published(backbone) if start == PRETRAINED else read_file(Path(start))


@torch.no_grad()
def copy_weights(
    network: nn.Module, weights: dict[str, torch.Tensor], *, where: str, classes: int = len(CLASSES)
) -> None:
    """Copy weights into a network; its classifier stays as it is where the weights know other classes or none.

    The first convolution of a colour network is summed over its channels for a gray one, so that a gray film looks to
    it as a gray colour image does; a network for colour takes it as it is. Buffers are left out: batch-norm statistics
    belong to the data. Names may have a prefix.

    Args:
        where: the weights' origin, as messages call it.
        classes: that the network has.

    Raises:
        InputError: a layer is missing, has another shape, or is not finite.
    """
    parameters = dict(network.named_parameters())
    last = set(last_layer(network)[1].parameters())
    weights = named_as(weights, [name for name, value in parameters.items() if value.shape[:1] != (classes,)], where)
    for name, parameter in parameters.items():
        given = weights.get(name)
        if given is not None:
            check_values(name, given, where)
            if given.ndim == 4 and given.shape[1] == 3 and parameter.shape[1] == 1:
                given = given.sum(1, keepdim=True)
        if given is not None and given.shape == parameter.shape:
            parameter.copy_(given)
        elif not _other_classes(given, parameter, classes, is_last=parameter in last):
            raise _misfit(name, given, parameter, common_prefix(weights), where)


def _misfit(
    name: str, given: torch.Tensor | None, parameter: torch.Tensor, prefix: str | None, where: str
) -> InputError:
    """What is wrong with a layer's weights: they are missing, of a network for gray films, or of another shape."""
    if given is None:
        found = "is missing" + (f" (all names in it begin with {prefix})" if prefix else "")
    else:
        found = f"has shape {tuple(given.shape)}, not {tuple(parameter.shape)}"
        if given.ndim == 4 and given.shape[1] == 1 and parameter.shape[1] == 3:
            return InputError(
                f"grid.start: the weights of {where} are of a network for gray films, and these are in colour; "
                "start from weights of colour images, or set data.channels=gray"
            )
    return InputError(
        f"grid.start: layer {name} {found} in the weights of {where}; they must be of the same backbone and "
        "norm setting"
    )


def _other_classes(given: torch.Tensor | None, parameter: torch.Tensor, classes: int, *, is_last: bool) -> bool:
    """Whether this is a classifier's layer, and the weights know other classes or none."""
    # A body's layer may be as wide as there are classes: of what is missing, only the last layer is a classifier.
    fits = is_last if given is None else given.shape[1:] == parameter.shape[1:]
    return parameter.shape[:1] == (classes,) and fits


def check_start(network: nn.Module, expected: dict[str, str], where: str) -> None:
    """Compare a network's start with the fingerprints that came with a checkpoint or package.

    Raises:
        InputError: names the first layer that differs.
    """
    found = layer_fingerprints(network)
    differing = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise InputError(
            f"{where}: its start has another layer {differing[0]}{more}; use the same seed, the same start and the "
            "timm and torchvision versions that its study names"
        )


def _published(backbone: str) -> dict[str, torch.Tensor]:
    library, name = check_name(backbone)
    if library == "sldd" or "/" in name:
        raise InputError(
            f"grid.start: nobody publishes weights of {backbone}; name a file: pretrained={{{backbone}: FILE}}"
        )
    try:
        if library == "timm":
            network: nn.Module = timm.create_model(name, pretrained=True)
        else:
            network = torchvision.models.get_model(name, weights="DEFAULT")
    except (OSError, RuntimeError) as error:  # no network, no such file; timm: no weights for this name
        told = error.reason if isinstance(error, URLError) else error  # its own words are in angle brackets
        reason = (str(told).splitlines() or [""])[0]
        raise InputError(
            f"grid.start: no pretrained weights of {backbone} ({reason}); where there is no network, copy the file of "
            f"weights to every machine and say where it is: pretrained={{{backbone}: FILE}}"
        ) from None
    return dict(network.named_parameters())
