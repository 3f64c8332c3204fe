"""Soft-label dataset distillation of radiographs: one distillation, start to end.

The ten names of ``__all__`` are the interface (docs/python.md): a cohort is opened, distilled, looked at,
scored and saved, with the settings that a study has too. Each is imported when it is first asked for: torch takes
seconds, which ``import sldd`` does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sldd.data.patches import PatchSettings
    from sldd.data.settings import DataSettings
    from sldd.data.split import SplitSettings
    from sldd.distillation.image_learner import DistillSettings
    from sldd.errors import InputError
    from sldd.pipeline.distill import distill
    from sldd.pipeline.distilled import Distilled, load
    from sldd.pipeline.open_cohort import open_cohort
    from sldd.training.outer_settings import OuterSettings

_WHERE = {
    "open_cohort": "sldd.pipeline.open_cohort",
    "distill": "sldd.pipeline.distill",
    "Distilled": "sldd.pipeline.distilled",
    "load": "sldd.pipeline.distilled",
    "InputError": "sldd.errors",
    "DataSettings": "sldd.data.settings",
    "SplitSettings": "sldd.data.split",
    "PatchSettings": "sldd.data.patches",
    "DistillSettings": "sldd.distillation.image_learner",
    "OuterSettings": "sldd.training.outer_settings",
}

__all__ = [
    "DataSettings",
    "DistillSettings",
    "Distilled",
    "InputError",
    "OuterSettings",
    "PatchSettings",
    "SplitSettings",
    "distill",
    "load",
    "open_cohort",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'sldd' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
