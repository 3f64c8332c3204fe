"""Runs on films with several findings: probabilities of all test films of one cell at one seed, their macro AUC and
macro average precision.

The counterpart of `analysis.records.patient_runs` where a film has findings instead of a patient one label. Resampling
draws patients, and all films of each with him: films of a patient are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.records.bootstrap import Resampled, worth

Macro = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""A score of films: weights (resamples, films), labels and probabilities (films, classes) -> scores (resamples,)."""
DRAWS = 4_000_000  # weights of films drawn at a time: bounds the memory, whatever the cohort


@dataclass(frozen=True, eq=False)
class FilmRun:
    """`patients` (films,) pseudonyms, `labels` (films, classes) 0, 1 or NaN, `probabilities` (films, classes)."""

    patients: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def auc(self) -> float:
        """Mean over the classes that have both kinds of film; NaN where none has. Films of different folds were told
        by different networks: where their probabilities are on different scales this is lower than a fold's own."""
        return float(macro_auc(np.ones((1, len(self.patients))), self.labels, self.probabilities)[0])

    @property
    def ap(self) -> float:
        """The same of average precision."""
        return float(macro_ap(np.ones((1, len(self.patients))), self.labels, self.probabilities)[0])

    @property
    def known_by(self) -> list[int]:
        """By how many patients each class is known: those who have it or those who have not, whoever are fewer."""
        return [*map(min, self.patients_of(self.labels == 1), self.patients_of(self.labels == 0))]

    def patients_of(self, films: np.ndarray) -> list[int]:
        """How many patients have films where a column of (films, classes) is true."""
        places = np.unique(np.array(self.patients), return_inverse=True)[1]
        return [len(np.unique(places[column])) for column in films.T]

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of `records`."""
        return {"test_auc": self.auc, "test_ap": self.ap}


def pooled_film_run(results: Sequence[Mapping[str, Any]]) -> FilmRun | None:
    """The run that confirm trials with these results (one a fold) make up; None where one holds no films."""
    try:
        films = [film for result in results for film in result["test"]["films"]]
        patients = tuple(str(film["patient"]) for film in films)
        labels = np.array([film["labels"] for film in films], np.float64)  # None becomes NaN
        probabilities = np.array([film["probabilities"] for film in films], np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return FilmRun(patients, labels, probabilities) if len(films) and labels.ndim == 2 else None


def alike(runs: Sequence[FilmRun]) -> bool:
    """Whether all runs are about the same films in the same order."""
    first = runs[0]
    return all(
        run.patients == first.patients and np.array_equal(run.labels, first.labels, equal_nan=True) for run in runs
    )


def macro_auc(weights: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(resamples,) macro AUC: the mean over the classes that have positive and negative films; NaN where none has.

    Args:
        weights: (resamples, films) how often each film counts.
        labels: (films, classes) 0, 1, or NaN where it is not known.
        probabilities: (films, classes).
    """
    return _macro(_auc, weights, labels, probabilities)


def macro_ap(weights: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(resamples,) macro average precision; arguments and classes as in `macro_auc`.

    Of a class: precision at each score that occurs, weighted by the share of positive films that have it.
    """
    return _macro(_ap, weights, labels, probabilities)


def resampled_scores(
    runs: Sequence[FilmRun], resamples: int, rng: np.random.Generator, macro: Macro = macro_auc
) -> np.ndarray:
    """(runs, resamples): score of every run (`alike`) on the same resampled patients; NaN where no class has both kinds
    of film."""
    names, places = np.unique(np.array(runs[0].patients), return_inverse=True)
    block = max(1, DRAWS // len(places))
    found = []
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size)[:, places].astype(np.float64)
        found.append(np.stack([macro(drawn, run.labels, run.probabilities) for run in runs]))
    return np.concatenate(found, axis=1)


def resampled_aucs(
    runs: Sequence[FilmRun], beside: Sequence[FilmRun], resamples: int, rng: np.random.Generator
) -> Resampled | None:
    """Macro AUC of runs, on their patients as they are and on bootstrap resamples of these.

    Rows of the runs `beside` (ordinary training) come first; they are left out where they are not about the same films
    (`alike`). None where `runs` themselves are not, or where no resample has a defined score for every run.
    """
    return resampled_runs(runs, beside, resamples, rng, macro_auc)


def resampled_runs(
    runs: Sequence[FilmRun], beside: Sequence[FilmRun], resamples: int, rng: np.random.Generator, macro: Macro
) -> Resampled | None:
    """As `resampled_aucs`, of the score `macro`."""
    if not alike(runs):
        return None
    runs = [*beside, *runs] if alike([*runs, *beside]) else runs
    drawn = resampled_scores(runs, resamples, rng, macro)
    defined = ~np.isnan(drawn).any(axis=0)
    once = np.ones((1, len(runs[0].patients)))
    whole = np.array([float(macro(once, run.labels, run.probabilities)[0]) for run in runs])
    return Resampled(whole, drawn[:, defined], worth_of(runs[0])) if defined.any() else None


def worth_of(run: FilmRun) -> float:
    """How many patients a mean over the run's classes is `worth`; never more than there are."""
    return min(worth(run.known_by), float(len(set(run.patients))))


def _macro(score: Macro, weights: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Mean of `score` over the classes where it is defined. It gets one class: labels and probabilities (films,)."""
    by_class = np.stack([score(weights, *column) for column in zip(labels.T, probabilities.T, strict=True)])
    defined = ~np.isnan(by_class)
    total = np.where(defined, by_class, 0).sum(axis=0)
    return np.divide(total, defined.sum(axis=0), out=np.full(len(weights), np.nan), where=defined.any(axis=0))


def _auc(weights: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(resamples,) AUC of one class, of which `truth` and `scores` are (films,); NaN without films of both kinds."""
    positive, negative = _by_score(weights, truth, scores)
    at_or_above = positive.cumsum(axis=1)
    # A pair is in order where the positive film is above the negative one; a tie counts by half.
    in_order = (negative * (at_or_above - positive / 2)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(in_order, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _ap(weights: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    positive, negative = _by_score(weights, truth, scores)
    right, called = positive.cumsum(axis=1), (positive + negative).cumsum(axis=1)
    precision = np.divide(right, called, out=np.zeros(right.shape), where=called > 0)
    total, defined = positive.sum(axis=1), positive.any(axis=1) & negative.any(axis=1)
    return np.divide((positive * precision).sum(axis=1), total, out=np.full(len(weights), np.nan), where=defined)


def _by_score(weights: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(resamples, scores) positive and negative films of each score that occurs, the highest first."""
    known = ~np.isnan(truth)
    weights, truth, scores = weights[:, known], truth[known] == 1, scores[known]
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    if not len(ranked):
        return weights, weights
    ties = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # where films of another score begin
    positive = np.add.reduceat(weights[:, order] * truth[order], ties, axis=1)
    return positive, np.add.reduceat(weights[:, order] * ~truth[order], ties, axis=1)
