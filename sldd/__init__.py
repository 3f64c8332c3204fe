"""Soft-label dataset distillation of radiographs: one distillation, start to end.

The names of ``__all__`` are what a program needs most (examples/distill_phantoms.py). Each is imported when it is first
asked for: torch takes seconds, which ``import sldd`` does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sldd.distillation.distill import Distillation
    from sldd.distillation.image_learner import DistillSettings
    from sldd.distillation.unroll import Unroll
    from sldd.package import Package
    from sldd.training.outer_loop import OuterLoop, OuterSettings

__all__ = ["DistillSettings", "Distillation", "OuterLoop", "OuterSettings", "Package", "Unroll"]

_WHERE = {
    "Distillation": "sldd.distillation.distill",
    "DistillSettings": "sldd.distillation.image_learner",
    "OuterLoop": "sldd.training.outer_loop",
    "OuterSettings": "sldd.training.outer_loop",
    "Package": "sldd.package",
    "Unroll": "sldd.distillation.unroll",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'sldd' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
