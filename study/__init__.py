"""Studies: a grid of cells, an Optuna search in each, Ray Tune to place the trials, a ledger to resume from.

From Python: ``study.run("demo", grid={"images": [1, 2]})`` and ``study.Study.open("results/demo")`` (docs/python.md).
What they need is imported when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.engine.from_python import Study

__all__ = ["Study", "run"]


def __getattr__(name: str) -> Any:
    if name == "Study":
        return importlib.import_module("study.engine.from_python").Study
    if name == "run":  # the command's module, which can be called
        return importlib.import_module("study.run")
    raise AttributeError(f"module 'study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
