"""Programs that a study is exported to, and the module of each, imported when it is asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

from sldd.errors import InputError

TARGETS = ("optuna", "tensorboard", "mlflow", "wandb")


def module(name: str, option: str) -> ModuleType:
    """The module ``to_<name>``.

    Args:
        option: what asked for it, for the message.

    Raises:
        InputError: what it needs is not installed.
    """
    try:
        return importlib.import_module(f"study.export.to_{name}")
    except ImportError as error:
        needed = (error.name or name).partition(".")[0]
        raise InputError(f"{option} needs {needed}, which is not installed: pip install 'sldd-study[{name}]'") from None
