"""The numbers that trials are compared by, from what a result or history keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def main_score(scores: Mapping[str, Any], prefix: str = "") -> float:
    """What a trial is compared by, of the scores that its result or history keeps: HM, or macro AUC; 0 where undefined.

    Args:
        prefix: of the scores' names: ``val_`` in a history.
    """
    name = f"{prefix}hm" if f"{prefix}hm" in scores else f"{prefix}auc"
    return float(scores.get(name) or 0.0)


def objective(result: dict[str, Any]) -> tuple[float, float, float]:
    """How good a finished trial is on validation patients: HM at the exact best threshold, AUC, patch accuracy.

    Of films with findings: macro AUC, macro average precision, and how rarely a finding is called wrongly.
    """
    validation = result.get("validation")
    if result["status"] != "done" or validation is None:
        return (0.0, 0.0, 0.0)
    if "hm" not in validation:
        hamming = validation["hamming_loss"]
        wrong = 1.0 if hamming is None else hamming
        return (validation["auc"] or 0.0, validation["average_precision"] or 0.0, 1.0 - wrong)
    return (validation["hm"], validation["auc"] or 0.0, validation["patch_accuracy"] or 0.0)
