"""Runs on patients with one label: votes and calls of all test patients of one cell at one seed, and their HM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from analysis.records.bootstrap import Resampled, harmonic_mean, hms, resample, worth

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

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of `records`."""
        measures = {"sensitivity": self.sensitivity, "specificity": self.specificity, "hm": self.hm, "auc": self.auc}
        measures["hm_at_0.4"] = self.at(PAPER_DELTA).hm
        return {"undecided_patients": int(np.isnan(self.scores).sum())} | {
            f"test_{name}": value for name, value in measures.items()
        }

    def at(self, delta: float) -> Run:
        """The same run with every patient called at the threshold `delta`."""
        return Run(self.patients, self.labels, self.scores, self.scores >= delta)


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
        shares = np.divide(votes[:, 2], deciding, out=np.full(len(votes), np.nan), where=deciding > 0)
        scores.append(shares if (votes % 1 == 0).all() else shares.round(12))  # as `sldd.metrics.patient_votes` does
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


def resampled_hms(
    runs: Sequence[Run], beside: Sequence[Run], resamples: int, rng: np.random.Generator
) -> Resampled | None:
    """HM of runs, on the patients that all `runs` have and on bootstrap resamples of these.

    Rows of the runs `beside` (ordinary training) come first; they are left out where one of them lacks a patient. None
    where a label is absent, so that HM is undefined.
    """
    shared = set.intersection(*(set(run.patients) for run in runs))
    met = all(shared <= set(run.patients) for run in beside)
    labels, calls = align([*(beside if met else []), *runs])
    if labels.all() or not labels.any():
        return None
    return Resampled(
        hms(calls, labels), resample(calls, labels, resamples, rng), worth([labels.sum(), (~labels).sum()])
    )


def _share(calls: np.ndarray) -> float:
    return float(calls.mean()) if calls.size else float("nan")
