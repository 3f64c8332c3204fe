"""A finished trial in the words of ``result.json``, and the confirm trials of a cell's folds put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from analysis.records.multilabel_runs import pooled_film_run
from analysis.records.runs import Run, pooled_run
from ledger.ledger import Trial
from sldd.data.split import Split
from sldd.metrics.evaluators import FilmScores, PatientScores
from sldd.metrics.multilabel import METRICS, bootstrap_findings
from sldd.metrics.patient_votes import PUBLISHED_DELTA, Votes, choose_threshold, operate, threshold_curve
from sldd.training.outer_loop import OuterLoop
from study.trial.spec import TrialSpec


def describe_result(
    spec: TrialSpec,
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
    if isinstance(validation, FilmScores):
        result["validation"] = film_scores(validation, pseudonyms)
        if tested:
            test = loop.score(split.test)
            assert isinstance(test, FilmScores)
            result["test"] = film_scores(test, pseudonyms, intervals_of=spec.seed)
        return result
    assert isinstance(validation, PatientScores)
    _, delta = choose_threshold(validation.votes, delta)
    result["delta"] = delta
    result["validation"] = scores(validation.votes, delta, pseudonyms)
    if tested and split.test == split.validation:
        result["test"] = result["validation"]
    elif tested:
        test = loop.score(split.test)
        assert isinstance(test, PatientScores)
        result["test"] = scores(test.votes, delta, pseudonyms)
    return result


def film_scores(found: FilmScores, pseudonyms: list[str], intervals_of: int | None = None) -> dict[str, Any]:
    """A group of films with findings: macro averages, each class, and every film, as the ledger keeps it.

    Args:
        intervals_of: the seed of bootstrap intervals over patients; none where None.
    """
    at = found.scores
    kept: dict[str, Any] = {metric: at.mean(metric) for metric in METRICS}
    rows: list[dict[str, Any]] = [
        {"class": name, "positives": positives, "negatives": negatives}
        | {metric: getattr(at, metric)[number] for metric in METRICS}
        for number, (name, positives, negatives) in enumerate(zip(at.classes, at.positives, at.negatives, strict=True))
    ]
    if intervals_of is not None:
        drawn = bootstrap_findings(found.labels, found.probabilities, found.counts, found.patients, seed=intervals_of)
        for metric, (each, mean) in drawn.items():
            kept |= {f"{metric}_low": mean.low, f"{metric}_high": mean.high}
            for row, interval in zip(rows, each, strict=True):
                row |= {f"{metric}_low": interval.low, f"{metric}_high": interval.high}
    positives, negatives = found.counts
    return kept | {
        "defined_classes": len(at.defined),
        "classes": rows,
        "training_positives": positives.tolist(),
        "training_negatives": negatives.tolist(),
        "films": [
            {
                "patient": pseudonyms[patient],
                "labels": [None if value != value else int(value) for value in labels],
                "probabilities": probabilities,
            }
            for patient, labels, probabilities in zip(
                found.patients, found.labels.tolist(), found.probabilities.tolist(), strict=True
            )
        ],
    }


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
    pooled = [pooled_run(results) for results in _by_seed(confirmed, folds)]
    return [run for run in pooled if run is not None]


def film_aucs(confirmed: Iterable[Trial], folds: int) -> list[float]:
    """Mean AUC over the findings of the same runs on films with findings, all films of a run together."""
    pooled = [pooled_film_run(results) for results in _by_seed(confirmed, folds)]
    return [run.auc for run in pooled if run is not None]


def _by_seed(confirmed: Iterable[Trial], folds: int) -> list[list[dict[str, Any]]]:
    """Results of the seeds that have all of their folds."""
    seeds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for trial in confirmed:
        seeds[TrialSpec.of(trial).seed].append(trial.result or {})
    return [results for _, results in sorted(seeds.items()) if len(results) == folds]
