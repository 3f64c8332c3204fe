"""Base of tasks that call patients positive or negative, by votes and a threshold on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.records.patient_runs import Run, pooled_run
from analysis.records.tasks import TASKS as RESULTS
from analysis.records.tasks import USUAL
from ledger.trial import Trial
from sldd.data.cohort import Cohort
from sldd.errors import InputError
from study.config.tasks.base import Data, Objective, Task, by_seed, mean, spread
from study.grid.spec import Score


class PatientsTask(Task[Data]):
    """Base class of such tasks: all but the data, and the cells of ordinary training."""

    results = RESULTS[USUAL]
    searches_delta = True

    def mismatch(self, cohort: Cohort) -> str | None:
        if not cohort.classes:
            return None
        return (
            f"have {len(cohort.classes)} classes of findings, and task={self.name} is about patients with one label "
            "and an organ mask; set task=multilabel, or use a folder with a manifest (data.source=folder)"
        )

    def joined(self, parts: Sequence[Data]) -> Data:
        raise InputError("sources: only collections of films with findings can be trained on")

    def objective(self, validation: Mapping[str, Any], score: Score) -> Objective:
        """HM at the exact best threshold, AUC, patch accuracy; or the mean of the last two before the first."""
        hm, auc, accuracy = validation["hm"], validation["auc"] or 0.0, validation["patch_accuracy"]
        if score == "headline":
            return (hm, auc, accuracy or 0.0)
        return (auc if accuracy is None else (auc + accuracy) / 2, hm, auc)

    def run_scores(self, confirmed: Iterable[Trial], folds: int) -> list[float]:
        return [run.hm for run in runs(confirmed, folds)]

    def columns(self, confirmed: Sequence[Trial], folds: int) -> dict[str, str]:
        measured = runs(confirmed, folds)
        return {
            "test HM": spread(run.hm for run in measured),
            "Sen": mean(run.sensitivity for run in measured),
            "Spe": mean(run.specificity for run in measured),
            "AUC": mean(None if math.isnan(run.auc) else run.auc for run in measured),
            "delta": mean((trial.result or {})["delta"] for trial in confirmed),
        }


def runs(confirmed: Iterable[Trial], folds: int) -> list[Run]:
    """The runs that have all of their folds, by seed; ``confirmed`` are trials of one cell, or of its folds' cells."""
    pooled = [pooled_run(results) for results in by_seed(confirmed, folds)]
    return [run for run in pooled if run is not None]
