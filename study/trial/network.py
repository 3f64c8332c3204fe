"""Builds the network of a cell, and sets its start where other collections have trained it first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from safetensors.torch import load, save
from torch import nn

from ledger.storage import Folder
from ledger.trial_folder import WEIGHTS
from sldd.backbones.init import initialise
from sldd.backbones.mixed import Mixed, build_mixed, carry_over, set_mixed_start
from sldd.backbones.registry import build
from sldd.backbones.start import PRETRAINED
from sldd.errors import InputError
from sldd.ops.types import InputSpec
from sldd.package.rebuild.rebuild import set_start
from study.grid.axes import Cell
from study.grid.spec import TrialSpec


def build_network(cell: Cell, spec: InputSpec) -> nn.Module:
    """The network of a cell: one of its backbone, or a mixed model of several.

    Raises:
        InputError: it cannot be built.
    """
    bodies = mixed_bodies(cell)
    side, channels, classes = spec.side, spec.channels, len(spec.classes)
    if bodies:
        return build_mixed(cell.backbone, bodies, input_size=side, norm=cell.norm, channels=channels, classes=classes)
    return build(cell.backbone, input_size=side, norm=cell.norm, channels=channels, classes=classes)


def mixed_bodies(cell: Cell) -> int:
    """Bodies of a mixed model; 0 where a cell has none."""
    return len(cell.chain) if cell.transfer == "mixed" and not cell.stage else 0


def set_transfer_start(network: nn.Module, spec: TrialSpec, start: str, classes: Sequence[str], trials: Folder) -> None:
    """Set every parameter in place: from what the trials left that this one goes on from, else from its own start.

    Args:
        start, classes: as of ``sldd.package.rebuild.rebuild.set_start``.
        trials: the folder of all trials of the study.

    Raises:
        InputError: weights cannot be had or do not fit.
    """
    backbone, seed, earlier = spec.cell.backbone, spec.seed, spec.starts_from
    if isinstance(network, Mixed):
        bodies = [PRETRAINED if name is None else _weights(trials, name) for name in earlier]
        set_mixed_start(network, bodies, backbone=backbone, seed=seed, pretrained=start)
    elif earlier and earlier[0] is not None:
        initialise(network, seed)
        carry_over(network, _weights(trials, earlier[0]), where=earlier[0], classes=len(classes))
    else:
        set_start(network, backbone=backbone, start=start, seed=seed, norm=spec.cell.norm, classes=classes)


def _weights(trials: Folder, trial: str) -> dict[str, torch.Tensor]:
    path = trials / trial / WEIGHTS
    try:
        return load(path.read_bytes())
    except Exception as error:  # the format has errors of its own
        raise InputError(f"{trial}: its {WEIGHTS} cannot be read ({type(error).__name__}); delete that trial") from None


def to_bytes(names: Sequence[str], state: Mapping[str, torch.Tensor]) -> bytes:
    """A file of weights of a trained network."""
    return save({name: state[name].detach().cpu().contiguous() for name in names})
