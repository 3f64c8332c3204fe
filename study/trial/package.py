"""Builds the package of a distillation's best state, with its measured scores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sldd.backbones.start import FILE_ENDINGS, PRETRAINED
from sldd.package import Claims, Package, PackageSettings, Stored
from sldd.package.format.image_encoding import stored
from sldd.package.format.signature import read_private, to_signed_bytes
from sldd.package.rebuild.rebuild import with_weights
from sldd.package.rebuild.self_test import with_self_test
from sldd.training.outer_loop import Best
from study.config.tasks.base import Task


def store_images(best: Best, settings: PackageSettings) -> tuple[torch.Tensor, Stored]:
    """Put the images of the best state in the place of those that a receiver gets, so that these are what is scored.

    Returns:
        The images as they were, and what storing them cost.
    """
    original = best.state["images"]
    received, cost = stored(original.detach().cpu().numpy(), settings.images)
    if settings.images != "float32":
        best.state = best.state | {"images": torch.from_numpy(received).to(original.device)}
    return original.detach().cpu(), cost


def claims(result: dict[str, Any], task: Task[Any], protocol: str, fold: int | None, cost: Stored) -> Claims:
    """Claims of a package, from ``study.trial.result.describe_result``."""
    test = result["test"]
    return Claims(
        protocol="paper" if protocol == "paper" else "validation",
        validation=task.claim(result["validation"]),
        test=None if test is None else task.claim(test),
        fold=fold,
        images=cost.images,
    )


def pack(package: Package, start: str, original: torch.Tensor, settings: PackageSettings) -> tuple[bytes, Package]:
    """The file of a package.

    Args:
        package: without weights and self-test.
        start: what the trial started from, as ``sldd.backbones.start.set_start`` takes it.
        original: the images before they were stored.

    Returns:
        Its content, and the package as it is there.
    """
    source = start if start == PRETRAINED or start.endswith(FILE_ENDINGS) else None
    if settings.weights:
        package = with_weights(package, source)
    before = None if package.stored.images == "float32" else original
    package = with_self_test(package, source, before)
    if settings.key is None:
        return package.to_bytes(), package
    return to_signed_bytes(package.to_container(), read_private(Path(settings.key)), settings.signer), package


def storage_cost(cost: Stored, best: Best, score: float) -> dict[str, Any]:
    """What storing the images cost, for a trial's result: in gray values, in outputs, and in the score on validation
    patients, before (at the best threshold then) and after."""
    return asdict(cost) | {"val_hm_before": best.score, "val_hm": score}


def on_cpu(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies of a state's tensors for a package."""
    return {name: value.detach().cpu().float() for name, value in state.items()}
