"""What tests of resuming share: a loop's end, and states that are compared."""

from __future__ import annotations

from typing import Any

import torch

from sldd.training.outer_loop import OuterLoop


def finish(loop: OuterLoop) -> OuterLoop:
    """Take all steps that are left."""
    while not loop.finished:
        loop.advance()
    return loop


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
