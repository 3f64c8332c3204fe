"""Starts ``theta_0`` drawn from a seed: Xavier weights fixed by seed and backbone, on any device and thread count.

Each parameter is drawn by name from its own counter-based stream, by exact float32 arithmetic on raw bits, so two
hospitals that share a seed share every bit of the start; ``layer_fingerprints`` let them check.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import nn

from sldd.backbones.near_linear import BEFORE_ACTIVATIONS
from sldd.rng import bits

_TOKEN_DEVIATION = 0.02
"""Deviation of free-standing parameters such as class tokens and position tables, as transformers use."""

_NORMS = (*BEFORE_ACTIVATIONS, nn.LayerNorm)


@torch.no_grad()
def initialise(network: nn.Module, seed: int, *, shift: float = 0.0) -> None:
    """Set every parameter in place and reset the batch-norm statistics.

    Parameters named ``weight``, of two or more dimensions: Xavier uniform (Glorot & Bengio 2010; Li et al. 2022, 4.1).
    Norm layers: scale 1, shift 0. Other vectors with ``bias`` in their names: 0. All others, whatever their shape: kept
    where constant (layer scales), else uniform with deviation 0.02 (class tokens, position tables, ``in_proj_weight``
    of attention, ``weight_ih_l0`` of recurrent layers). One of a single value is drawn, not kept: it does not show
    whether it is meant to be constant.

    Args:
        shift: of norms that stand before activations, in standard deviations of what they give.
    """
    kinds = {
        f"{prefix}.{name}" if prefix else name: _kind(module, name, parameter)
        for prefix, module in network.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    }
    for name, parameter in network.named_parameters():
        match kinds[name]:
            case "one":
                parameter.fill_(1.0)
            case "zero":
                parameter.zero_()
            case "shift":
                parameter.fill_(shift)
            case "xavier":
                fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(parameter)
                _fill_uniform(parameter, math.sqrt(6.0 / (fan_in + fan_out)), seed, name)
            case _ if parameter.numel() == 1 or bool((parameter != parameter.flatten()[0]).any()):
                _fill_uniform(parameter, _TOKEN_DEVIATION * math.sqrt(3.0), seed, name)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.reset_running_stats()


def _kind(module: nn.Module, name: str, parameter: torch.Tensor) -> str:
    """How a module's own parameter is set: one, zero, shift, xavier, or free (class tokens, position tables ...)."""
    if isinstance(module, _NORMS):
        if name == "weight":
            return "one"
        return "shift" if name == "bias" and isinstance(module, BEFORE_ACTIVATIONS) else "zero"
    if "bias" in name and parameter.ndim == 1:
        return "zero"
    return "xavier" if name == "weight" and parameter.ndim >= 2 else "free"


def _fill_uniform(parameter: torch.Tensor, bound: float, seed: int, name: str) -> None:
    """Uniform in [-bound, bound): the top 24 of each 32 raw bits, which float32 holds exactly."""
    count = parameter.numel()
    words = bits(seed, "start", name).random_raw((count + 1) // 2).view(np.uint32)[:count]
    unit = (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)
    values = unit * np.float32(bound)
    parameter.copy_(torch.from_numpy(values).view(parameter.shape))


def layer_fingerprints(network: nn.Module) -> dict[str, str]:
    """The first 16 hexadecimal digits of SHA-256 over each parameter's shape and bytes, by name."""
    found = {}
    for name, parameter in network.named_parameters():
        digest = hashlib.sha256(str(tuple(parameter.shape)).encode())
        digest.update(parameter.detach().cpu().float().contiguous().numpy().tobytes())
        found[name] = digest.hexdigest()[:16]
    return found
