"""Digest of whatever decides a result, by which results are found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import torch


def digest(*parts: object) -> str:
    """SHA-256, in hexadecimal digits, over parts that JSON knows: the same in every process."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@torch.no_grad()
def outputs_digest(made: Callable[[], torch.Tensor]) -> str:
    """SHA-256 of a network's outputs, made by the same algorithms of cuDNN in every process: those that it finds to be
    the fastest today (``benchmark``) may round otherwise tomorrow."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        return hashlib.sha256(made().cpu().numpy().tobytes()).hexdigest()
    finally:
        cudnn.benchmark, cudnn.deterministic = before
