"""Result of a finished trial, as ``result.json`` holds it."""

from __future__ import annotations

from typing import Any

from torch import nn

from sldd.data.split import Split
from sldd.training.outer_loop import OuterLoop
from study.grid.spec import TrialSpec


def describe_result(
    spec: TrialSpec,
    loop: OuterLoop,
    split: Split,
    error: str | None,
    pseudonyms: list[str],
) -> dict[str, Any]:
    """Scores of a trial's best state; for a confirm trial also those on test patients.

    Args:
        split: under the papers' protocol, validation patients are the test patients.
        error: why it diverged; None where it is done.
        pseudonyms: of all patients.
    """
    result: dict[str, Any] = {
        "status": "done" if error is None else "diverged",
        "error": error,
        "delta": None,
        "validation": None,
        "test": None,
        "outer_steps": loop.progress.step,
        "best_step": loop.best.step if loop.best else None,
        "memory_mib": None,
        "memory_star_kb": None,
        "compression_rate": None,
        "shared_bytes": None,
        "rates": None,
        "history": loop.progress.history,
    }
    if loop.best is None:
        return result
    # The only place where test patients are read: once, with everything chosen.
    tested = spec.phase == "confirm" and error is None
    validation = loop.score(split.validation)
    result["delta"] = delta = validation.threshold
    result["validation"] = validation.describe(pseudonyms, delta)
    if tested and split.test == split.validation:
        result["test"] = result["validation"]
    elif tested:
        result["test"] = loop.score(split.test).describe(pseudonyms, delta, intervals_of=spec.seed)
    return result


def score_fresh(loop: OuterLoop, network: nn.Module, split: Split, pseudonyms: list[str]) -> dict[str, Any]:
    """Scores on test patients of a network that learned from the images and nothing else, at the threshold that
    validation patients choose for it; nothing is chosen by them."""
    threshold = loop.score_network(network, split.validation).threshold
    return loop.score_network(network, split.test).describe(pseudonyms, threshold)
