"""Storage of a distillation beside the network it replaces, by the published accounting (Li et al. 2022, Table 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_BYTES = 4
_TENSOR_OVERHEAD = 250
"""File overhead a tensor in bytes, derived from the published figures."""


@dataclass(frozen=True)
class Footprint:
    """``memory_mib``: all parameters. ``memory_star_kb``: what is shared, in 1,000 bytes. The rate is their quotient.

    The published rate divides 1,000-byte kilobytes (as thousandths) by 2^20-byte megabytes; so does this one.
    """

    memory_mib: float
    memory_star_kb: float
    compression_rate: float


def footprint(parameters: int, images: torch.Tensor, theta_bn: dict[str, torch.Tensor]) -> Footprint:
    """Footprint of a network of ``parameters`` values and of what replaces it.

    Args:
        images: (S, M, channels, h, w) distilled images.
        theta_bn: batch-norm statistics.
    """
    memory = parameters * _BYTES / 2**20
    values = images.numel() + sum(value.numel() for value in theta_bn.values())
    tensors = 3 + len(theta_bn)  # images, labels, rates
    star = (values * _BYTES + tensors * _TENSOR_OVERHEAD) / 1000
    return Footprint(memory, star, star / 1000 / memory)
