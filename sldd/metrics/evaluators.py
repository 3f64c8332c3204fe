"""Evaluators: score a network on patients or films, and define the key by which states are selected.

Patients told by the votes of their patches, or films told finding by finding. Everything else, from the outer loop to
the search, asks a task and knows no more of it than this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from sldd.data.whole_films import WholeFilms
from sldd.metrics.multilabel import METRICS, FindingScores, bootstrap_findings, score_findings
from sldd.metrics.patient_votes import (
    PUBLISHED_DELTA,
    ScorableDataset,
    Votes,
    as_they_are,
    choose_threshold,
    count_votes,
    operate,
    threshold_curve,
)
from sldd.ops.digest import digest
from sldd.ops.types import Seen

Predict = Callable[[torch.Tensor], torch.Tensor]
SelectionKey = tuple[float, float, float]


class Scores(Protocol):
    """Metrics of a network on a group of patients."""

    @property
    def key(self) -> SelectionKey:
        """What states are compared by: higher is better, the first number before the others. Smooth, where it can be:
        the best of many noisy numbers is the luckiest."""
        ...

    @property
    def headline(self) -> float:
        """The main metric: HM, or macro AUC."""
        ...

    def history(self) -> dict[str, float | None]:
        """Metrics that are kept of every evaluation, by name."""
        ...

    @property
    def threshold(self) -> float | None:
        """Decision threshold on a patient's score: fixed, or the best for these patients; None where there is none."""
        ...

    def describe(
        self, pseudonyms: Sequence[str], delta: float | None, intervals_of: int | None = None
    ) -> dict[str, Any]:
        """All metrics in plain values, as the ledger keeps them.

        Args:
            pseudonyms: of all patients, by number.
            delta: the threshold at which patients are told apart; these scores' own unless given.
            intervals_of: the seed of bootstrap intervals over patients, where the task has them; none where None.
        """
        ...


class Task(Protocol):
    """Scores networks on patients."""

    def score(
        self,
        predict: Predict,
        patients: Sequence[int],
        *,
        batch: int,
        device: torch.device,
        seen: Seen = as_they_are,
    ) -> Scores:
        """Scores of a network; never more than ``batch`` images in memory.

        Args:
            predict: (batch, channels, side, side), or what ``seen`` makes of it, -> (batch, classes) logits, in
                evaluation mode.
        """
        ...


@dataclass(frozen=True)
class PatientScores:
    """Patients' votes, with HM at the threshold ``delta``, or at the best one where None.

    States are compared by the mean of patient AUC and patch accuracy, which move with every patch, and only then by HM,
    which moves with a patient at a time. At a given threshold, as published, HM decides.
    """

    votes: Votes
    delta: float | None

    @property
    def key(self) -> SelectionKey:
        hm, _ = choose_threshold(self.votes, self.delta)
        auc, accuracy = self.votes.auc or 0.0, self.votes.patch_accuracy
        if self.delta is not None:
            return (hm, auc, accuracy or 0.0)
        return (auc if accuracy is None else (auc + accuracy) / 2, hm, auc)

    @property
    def headline(self) -> float:
        return choose_threshold(self.votes, self.delta)[0]

    def history(self) -> dict[str, float | None]:
        hm, _ = choose_threshold(self.votes, self.delta)
        return {"val_hm": hm, "val_auc": self.votes.auc, "val_patch_accuracy": self.votes.patch_accuracy}

    @property
    def threshold(self) -> float:
        return choose_threshold(self.votes, self.delta)[1]

    def describe(
        self, pseudonyms: Sequence[str], delta: float | None, intervals_of: int | None = None
    ) -> dict[str, Any]:
        """Scores at one threshold, with the whole curve and every patient's votes."""
        votes = self.votes
        delta = self.threshold if delta is None else delta
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


class PatientTask:
    """Evaluates patients, positive or negative, by the votes of their patches.

    Args:
        scanned: what votes: patches, or whole films.
        delta: the threshold at which states are compared; for each its own best one unless given.
    """

    def __init__(self, scanned: ScorableDataset, delta: float | None = None) -> None:
        self._scanned, self._delta = scanned, delta

    def score(
        self,
        predict: Predict,
        patients: Sequence[int],
        *,
        batch: int,
        device: torch.device,
        seen: Seen = as_they_are,
    ) -> PatientScores:
        votes = count_votes(predict, self._scanned, patients, batch=batch, device=device, seen=seen)
        return PatientScores(votes, self._delta)


@dataclass(frozen=True)
class FilmScores:
    """Probabilities of films, compared by macro AUC, macro average precision and Hamming loss.

    Attributes:
        patients: of each film, numbers.
        labels: (films, classes): 0, 1 or NaN.
        probabilities: (films, classes).
        counts: ``label_counts`` of the training films, which thresholds come from.
    """

    classes: Sequence[str]
    patients: list[int]
    labels: np.ndarray
    probabilities: np.ndarray
    counts: tuple[np.ndarray, np.ndarray]

    @property
    def scores(self) -> FindingScores:
        return score_findings(self.classes, self.labels, self.probabilities, self.counts)

    @property
    def key(self) -> SelectionKey:
        scores = self.scores
        hamming = scores.mean("hamming_loss")
        return (
            scores.mean("auc") or 0.0,
            scores.mean("average_precision") or 0.0,
            -1.0 if hamming is None else -hamming,
        )

    @property
    def headline(self) -> float:
        return self.key[0]

    def history(self) -> dict[str, float | None]:
        scores = self.scores
        return {
            "val_auc": scores.mean("auc"),
            "val_average_precision": scores.mean("average_precision"),
            "val_hamming_loss": scores.mean("hamming_loss"),
        }

    @property
    def threshold(self) -> None:
        return None

    def describe(
        self, pseudonyms: Sequence[str], delta: float | None, intervals_of: int | None = None
    ) -> dict[str, Any]:
        """Macro averages, each class, and every film."""
        at = self.scores
        kept: dict[str, Any] = {metric: at.mean(metric) for metric in METRICS}
        rows: list[dict[str, Any]] = [
            {"class": name, "positives": positives, "negatives": negatives}
            | {metric: getattr(at, metric)[number] for metric in METRICS}
            for number, (name, positives, negatives) in enumerate(
                zip(at.classes, at.positives, at.negatives, strict=True)
            )
        ]
        if intervals_of is not None:
            drawn = bootstrap_findings(self.labels, self.probabilities, self.counts, self.patients, seed=intervals_of)
            for metric, (each, mean) in drawn.items():
                kept |= {f"{metric}_low": mean.low, f"{metric}_high": mean.high}
                for row, interval in zip(rows, each, strict=True):
                    row |= {f"{metric}_low": interval.low, f"{metric}_high": interval.high}
        positives, negatives = self.counts
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
                    self.patients, self.labels.tolist(), self.probabilities.tolist(), strict=True
                )
            ],
        }


class FilmTask:
    """Films with several findings, each by its own probability.

    Args:
        films: what is scored.
        counts: ``label_counts`` of the training films.
    """

    def __init__(self, films: WholeFilms, counts: tuple[np.ndarray, np.ndarray]) -> None:
        self._films, self._counts = films, counts

    def score(
        self,
        predict: Predict,
        patients: Sequence[int],
        *,
        batch: int,
        device: torch.device,
        seen: Seen = as_they_are,
    ) -> FilmScores:
        cohort = self._films.cohort
        numbers, found = film_probabilities(
            predict, torch.sigmoid, self._films, patients, batch=batch, device=device, seen=seen
        )
        return FilmScores(
            cohort.classes,
            [cohort.film_patients[film] for film in numbers],
            cohort.film_labels[numbers],
            found,
            self._counts,
        )


@torch.no_grad()
def film_probabilities(
    predict: Predict,
    probabilities: Predict,
    films: WholeFilms,
    patients: Sequence[int],
    *,
    batch: int,
    device: torch.device,
    seen: Seen = as_they_are,
) -> tuple[list[int], np.ndarray]:
    """Numbers of all films of these patients, and (films, classes) float64 what ``probabilities`` makes of their
    logits; other arguments as of ``Task.score``."""
    numbers = [film for patient in patients for film in films.cohort.films_of[patient]]
    parts = (numbers[begin : begin + batch] for begin in range(0, len(numbers), batch))
    images = ((0, torch.cat([films.image(film) for film in part]).to(device), None) for part in parts)
    content = films.fingerprint
    inputs = seen(images, content and digest(content, numbers, batch))
    return numbers, np.concatenate([probabilities(predict(each).double()).cpu().numpy() for _, each, _ in inputs])
