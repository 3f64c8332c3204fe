"""Runs: confirm trials of one cell at one seed, pooled over the folds' test patients.

Without folds a run is a trial. With `confirm.folds: K` the patients rotate: K cells differ in nothing but their `fold`,
every patient is a test patient in exactly one of them, and a run is the K trials of one seed. Its measures are those
of all its patients together, each called at the threshold of the trial that met them; the mean of K folds' HM would be
another number, and a noisy one, since a fold has few positive patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from analysis.records.multilabel_runs import read_film_run
from analysis.records.records import Study
from ledger.schema import SCHEMA

PAPER_DELTA = 0.4  # the threshold the source papers fix


@dataclass(frozen=True, eq=False)
class Run:
    """Votes, labels and calls of one run's test patients; arrays are (patients,), in the order of `patients`.

    `patients` are pseudonyms, `labels` is true for positive patients, `scores` are #P / (#N + #P) (NaN where no patch
    voted N or P) and `calls` is true where the score reaches its trial's own threshold; no score is a negative call.
    """

    patients: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    calls: np.ndarray

    @property
    def sensitivity(self) -> float:
        """Share of positive patients called positive; NaN where there are none."""
        return _share(self.calls[self.labels])

    @property
    def specificity(self) -> float:
        """Share of negative patients called negative; NaN where there are none."""
        return _share(~self.calls[~self.labels])

    @property
    def hm(self) -> float:
        """Harmonic mean of sensitivity and specificity."""
        return float(harmonic_mean(self.sensitivity, self.specificity))

    @property
    def auc(self) -> float:
        """Area under the ROC curve of all patients; NaN where a label is absent.

        Patients of different folds were scored by different networks: where the folds' scores are on different
        scales this is lower than any fold's own.
        """
        positive, negative = int(self.labels.sum()), int((~self.labels).sum())
        if not positive or not negative:
            return float("nan")
        # The undecided rank below every score, as in a trial's own AUC.
        ranks = rankdata(np.nan_to_num(self.scores, nan=-1.0))
        return float((ranks[self.labels].sum() - positive * (positive + 1) / 2) / (positive * negative))

    def at(self, delta: float) -> Run:
        """The same run with every patient called at the threshold `delta`."""
        return Run(self.patients, self.labels, self.scores, self.scores >= delta)


def harmonic_mean(sensitivity: np.ndarray | float, specificity: np.ndarray | float) -> np.ndarray:
    """HM = 2 Sen Spe / (Sen + Spe), 0 where both are 0; of any shape."""
    product, total = np.multiply(sensitivity, specificity), np.add(sensitivity, specificity)
    return np.divide(2 * product, total, out=np.zeros(np.shape(total)), where=total != 0)


def folds_of(study: Study) -> int | None:
    """How many folds the study's patients rotate through; None where they do not."""
    confirm = study.config.get("confirm")
    folds = confirm.get("folds") if isinstance(confirm, dict) else None
    return folds if isinstance(folds, int) and folds > 0 else None


def read_run(study: Study, trials: Sequence[str]) -> Run | None:
    """The run that `trials` (one a fold, `<cell>/<i>`) make up; None where one holds no votes on test patients."""
    return pooled_run([study.result(trial) for trial in trials])


def pooled_run(results: Sequence[Mapping[str, Any]]) -> Run | None:
    """The run that confirm trials with these results (one a fold) make up; None where one holds no votes."""
    patients: list[str] = []
    labels, scores, calls = [], [], []
    for result in results:
        try:
            delta, tested = float(result["delta"]), result["test"]["patients"]
            votes = np.array([patient["votes"] for patient in tested], np.float64).reshape(-1, 3)
            labels.append(np.array([patient["label"] for patient in tested]) == 1)
            patients += [str(patient["patient"]) for patient in tested]
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        deciding = votes[:, 1] + votes[:, 2]
        scores.append(np.divide(votes[:, 2], deciding, out=np.full(len(votes), np.nan), where=deciding > 0))
        calls.append(scores[-1] >= delta)
    if not patients:
        return None
    return Run(tuple(patients), np.concatenate(labels), np.concatenate(scores), np.concatenate(calls))


def align(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (patients,) and calls (runs, patients) of the patients every run has, in order of their pseudonyms."""
    shared = sorted(set.intersection(*(set(run.patients) for run in runs)))
    places = [dict(zip(run.patients, range(len(run.patients)), strict=True)) for run in runs]
    columns = [np.array([place[patient] for patient in shared], np.int64) for place in places]
    calls = np.stack([run.calls[column] for run, column in zip(runs, columns, strict=True)])
    return runs[0].labels[columns[0]], calls


def pool(study: Study, rows: pd.DataFrame, cell: list[str], folds: int) -> pd.DataFrame:
    """One row a complete run: `rows` (done confirm trials, columns of `records`) pooled over their folds.

    Trials that agree in the columns `cell` and in `seed` are a run; while one of its `folds` has no trial, there is no
    row. Columns as in `records`: the test measures are those of all patients together, `undecided_patients` their sum,
    every other float is the mean over the folds (`test_patch_accuracy` too: patch votes are not kept by class) and the
    rest is the first fold's, with no `fold`. Of films with findings AUC and average precision alone are those of all
    films together. `trials` names the run's trials, fold by fold.
    """
    floats = [name for name, dtype in SCHEMA.items() if dtype == "float64"]
    pooled, rows = [], rows[rows["fold"].notna()].sort_values("fold", kind="stable")
    for _, group in rows.groupby([*cell, "seed"], sort=False, dropna=False):
        each = group.drop_duplicates("fold")
        if each["fold"].tolist() != list(range(folds)):
            continue
        if each["task"].eq("multilabel").any():
            if (films := read_film_run(study, each["trial"].tolist())) is not None:
                row = each.iloc[0].to_dict() | each[floats].mean().to_dict()
                pooled.append(
                    row | {"trials": tuple(each["trial"]), "fold": None, "test_auc": films.auc, "test_ap": films.ap}
                )
            continue
        if (run := read_run(study, each["trial"].tolist())) is None:
            continue
        row = each.iloc[0].to_dict() | each[floats].mean().to_dict()
        row |= {"trials": tuple(each["trial"]), "fold": None, "undecided_patients": int(np.isnan(run.scores).sum())}
        row |= {"test_sensitivity": run.sensitivity, "test_specificity": run.specificity, "test_hm": run.hm}
        row |= {"test_hm_at_0.4": run.at(PAPER_DELTA).hm, "test_auc": run.auc}
        pooled.append(row)
    return pd.DataFrame(pooled, columns=[*SCHEMA, "trials"]).astype(SCHEMA)


def _share(calls: np.ndarray) -> float:
    return float(calls.mean()) if calls.size else float("nan")
