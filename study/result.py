"""A finished trial in the words of ``result.json``, and the confirm trials of a cell's folds put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from analysis.runs import Run, pooled_run
from sldd.detect import PUBLISHED_DELTA, Votes, choose_threshold, operate, threshold_curve
from sldd.outer import OuterLoop
from sldd.split import Split
from study.ledger import Trial


def describe_result(
    config: dict[str, Any],
    loop: OuterLoop,
    split: Split,
    error: str | None,
    delta: float | None,
    pseudonyms: list[str],
) -> dict[str, Any]:
    """What came out of a trial: its state's scores, and for a confirm trial those on test patients.

    Args:
        split: under the papers' protocol, validation patients are the test patients.
        error: why it diverged; None where it is done.
        delta: the threshold where it is fixed; else it is chosen on validation patients.
        pseudonyms: of all patients.
    """
    result: dict[str, Any] = {
        "status": "done" if error is None else "diverged",
        "error": error,
        "attempt": config["attempt"],
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
    validation = loop.score(split.validation)
    _, delta = choose_threshold(validation, delta)
    result["delta"] = delta
    result["validation"] = scores(validation, delta, pseudonyms)
    if config["phase"] == "confirm" and error is None:
        # The only place where test patients are read: once, with everything chosen.
        same = split.test == split.validation
        result["test"] = result["validation"] if same else scores(loop.score(split.test), delta, pseudonyms)
    return result


def scores(votes: Votes, delta: float, pseudonyms: list[str]) -> dict[str, Any]:
    """A group of patients at one threshold, with the whole curve and every patient's votes, as the ledger keeps it."""
    at = operate(votes, delta)
    return {
        "sensitivity": at.sensitivity,
        "specificity": at.specificity,
        "hm": at.hm,
        "hm_at_0.4": operate(votes, PUBLISHED_DELTA).hm,
        "auc": votes.auc,
        "patch_accuracy": votes.patch_accuracy,
        "undecided_patients": votes.undecided,
        "curve": vars(threshold_curve(votes)),
        "patients": [
            {"patient": pseudonyms[patient], "label": int(label), "votes": counts.tolist()}
            for patient, label, counts in zip(votes.patients, votes.labels, votes.counts, strict=True)
        ],
    }


def runs(confirmed: Iterable[Trial], folds: int) -> list[Run]:
    """The runs that have all of their folds, by seed; ``confirmed`` are trials of one cell, or of its folds' cells."""
    seeds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for trial in confirmed:
        seeds[trial.config["seed"]].append(trial.result or {})
    pooled = [pooled_run(results) for _, results in sorted(seeds.items()) if len(results) == folds]
    return [run for run in pooled if run is not None]
