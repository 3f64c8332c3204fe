"""Networks of several packages averaged, weight by weight: one round of federated averaging (McMahan et al. 2017).

From one start the mean of the networks is that start less the mean of all that the hospitals' inner steps took from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from sldd.backbones.norms import load_statistics
from sldd.package.combine.alike import check_alike
from sldd.package.combine.images import mean_statistics
from sldd.package.format.package import Package
from sldd.package.rebuild.rebuild import rebuild


@torch.no_grad()
def average(packages: Sequence[Package], names: Sequence[str], start: Path | str | None = None) -> nn.Module:
    """The averaged network, in evaluation mode; its batch-norm statistics are those of all hospitals' values.

    Args:
        names: of the packages, for messages.
        start: as of ``rebuild``.

    Raises:
        InputError: they are not of one network, start and kind of films.
    """
    check_alike(packages, names)
    networks = [rebuild(package, start) for package in packages]
    averaged = networks[0]
    for parameters in zip(*(network.parameters() for network in networks), strict=True):
        parameters[0].copy_(torch.stack(parameters).double().mean(0))
    load_statistics(averaged, mean_statistics(packages))
    return averaged.eval()
