"""An outer step of ``ssnl/dataset-distillation`` (Wang et al. 2018), read and run from a folder that the user names.

Its ``Trainer`` and its LeNet, as they are there: steps, adjoint and Adam. Nothing of it is kept here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from sldd.errors import InputError

_NOT_NEEDED = ("datasets", "matplotlib", "matplotlib.pyplot")
"""What its modules import and a step does without."""


def peer_step(folder: Path, *, steps: int, epochs: int, batch: int) -> Callable[[], object]:
    """One whole outer step on LeNet, 28 px, with ten images a step.

    Args:
        folder: a checkout.
        steps, epochs: S and E.
        batch: real images.
    """
    training, networks = _imported(folder)
    state = SimpleNamespace(
        distill_steps=steps,
        distill_epochs=epochs,
        distilled_images_per_class_per_step=1,
        distill_lr=0.02,
        lr=1e-4,
        decay_epochs=40,
        decay_factor=0.5,
        mode="distill_basic",
        arch="LeNet",
        init="xavier",
        init_param=1.0,
        dropout=False,
        local_n_nets=1,
        nc=1,
        input_size=28,
        num_classes=10,
        device=torch.device("cpu"),
        distributed=False,
    )
    (network,) = networks.get_networks(state, N=1)
    trainer = training.Trainer(state, [network])
    real, truth = torch.randn(batch, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(batch) % 10

    def step() -> float:
        """What its ``train`` does with a batch."""
        trainer.optimizer.zero_grad(set_to_none=False)  # as when it was written
        data = trainer.get_steps()
        loss, saved = trainer.forward(network, real, truth, data)
        trainer.accumulate_grad([trainer.backward(network, real, truth, data, saved)])
        trainer.optimizer.step()
        return float(loss.item())

    return step


def check_peer(folder: Path | None) -> None:
    """Raise an InputError where a folder is given, and the code is not there or cannot be imported."""
    if folder is not None:
        _imported(folder)


def _imported(folder: Path) -> tuple[Any, Any]:
    if not (folder / "train_distilled_image.py").is_file():
        raise InputError(f"--peer {folder}: no checkout of ssnl/dataset-distillation (train_distilled_image.py)")
    sys.path.insert(0, str(folder))
    for name in _NOT_NEEDED:
        stand_in: Any = ModuleType(name)
        stand_in.use = lambda *_: None
        sys.modules.setdefault(name, stand_in)
    try:
        return importlib.import_module("train_distilled_image"), importlib.import_module("networks")
    except ImportError as error:
        raise InputError(f"--peer {folder}: cannot be imported ({error})") from None
    finally:
        sys.path.remove(str(folder))
