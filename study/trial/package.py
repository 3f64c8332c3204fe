"""What a trial's package claims, and what storing its images cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sldd.package import Claims, Stored
from sldd.training.outer_loop import Best
from study.config.tasks.base import Task


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


def storage_cost(cost: Stored, best: Best, score: float) -> dict[str, Any]:
    """What storing the images cost, for a trial's result: in gray values, in outputs, and in the score on validation
    patients, before (at the best threshold then) and after."""
    return asdict(cost) | {"val_hm_before": best.score, "val_hm": score}
