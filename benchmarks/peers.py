"""``ssnl/dataset-distillation`` (Wang et al. 2018) and its fork ``ilia10000/dataset-distillation``, which learns labels
(Sucholutsky & Schonlau 2019), read and run from a checkout that the user names.

Their ``Trainer`` and their LeNet, as they are there: steps, adjoint and Adam. Nothing of them is kept here. A process
can import one of the two.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from sldd.errors import InputError

RATE = 0.01
"""Their Adam's rate unless told."""
_NOT_NEEDED = ("datasets", "matplotlib", "matplotlib.pyplot", "skimage", "skimage.measure", "torchtext", "tqdm", "yaml")
"""What their modules import and a step does without."""
_CLASSES = 10


class Peer:
    """Their distillation of digits, with LeNet at 28 px from Xavier weights and one image a class and step.

    Args:
        folder: a checkout; that of the fork learns labels, too.
        steps, epochs: S and E.
        seed: of weights and images.

    Raises:
        InputError: it is no checkout, or cannot be imported.
    """

    def __init__(self, folder: Path, *, steps: int = 1, epochs: int, seed: int = 0) -> None:
        training, networks = _imported(folder)
        torch.manual_seed(seed)
        state = SimpleNamespace(
            distill_steps=steps,
            distill_epochs=epochs,
            distilled_images_per_class_per_step=1,
            distill_lr=0.02,
            lr=RATE,
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
            num_classes=_CLASSES,
            device=torch.device("cpu"),
            distributed=False,
            # The fork's own:
            num_distill_classes=_CLASSES,
            init_labels=list(range(_CLASSES)),
            random_init_labels="",
            static_labels=0,
            label_softmax=False,
            reproduction_test=False,
            freeze_data=False,
            textdata=False,
        )
        (self._network,) = networks.get_networks(state, N=1)
        self._trainer = training.Trainer(state, [self._network])

    def step(self, images: torch.Tensor, classes: torch.Tensor, rate: float = RATE) -> float:
        """What their ``train`` does with a batch; the loss before it."""
        trainer = self._trainer
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
        trainer.optimizer.zero_grad(set_to_none=False)  # as when it was written
        data = trainer.get_steps()
        loss, saved = trainer.forward(self._network, images, classes, data)
        trainer.accumulate_grad([trainer.backward(self._network, images, classes, data, saved)])
        trainer.optimizer.step()
        return float(loss.item())

    def right(self, images: torch.Tensor, classes: torch.Tensor) -> float:
        """Share that their network gets right after its steps on what was learned."""
        _, (_, weights, _) = self._trainer.forward(self._network, images, classes, self._trainer.get_steps())
        with torch.no_grad():
            logits = self._network.forward_with_param(images, weights[-1])
        return float((logits.argmax(1) == classes).float().mean())


def check_checkout(folder: Path | None) -> None:
    """Raise an InputError where a folder is given, and is no checkout."""
    if folder is not None and not (folder / "train_distilled_image.py").is_file():
        raise InputError(f"{folder}: no checkout of dataset-distillation (train_distilled_image.py)")


def checkout_digest(folder: Path) -> str:
    """Digest of all modules of a checkout, by path and content."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def check_peer(folder: Path | None) -> None:
    """Raise an InputError where a folder is given, and the code is not there or cannot be imported."""
    if folder is not None:
        _imported(folder)


def _imported(folder: Path) -> tuple[Any, Any]:
    check_checkout(folder)
    sys.path.insert(0, str(folder))
    for name in _NOT_NEEDED:
        stand_in: Any = ModuleType(name)
        stand_in.__getattr__ = lambda _: lambda *_: None
        sys.modules.setdefault(name, stand_in)
    try:
        return importlib.import_module("train_distilled_image"), importlib.import_module("networks")
    except ImportError as error:
        raise InputError(f"{folder}: cannot be imported ({error})") from None
    finally:
        sys.path.remove(str(folder))
