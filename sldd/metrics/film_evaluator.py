"""Evaluator of films, told finding by finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sldd.data.whole_films import WholeFilms
from sldd.metrics.evaluators import Predict, SelectionKey
from sldd.metrics.multilabel import METRICS, FindingScores, bootstrap_findings, score_findings
from sldd.metrics.patient_votes import as_they_are
from sldd.ops.digest import digest
from sldd.ops.types import Seen


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


class FilmEvaluator:
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
    logits; other arguments as of ``Evaluator.score``."""
    numbers = [film for patient in patients for film in films.cohort.films_of[patient]]
    parts = (numbers[begin : begin + batch] for begin in range(0, len(numbers), batch))
    images = ((0, torch.cat([films.image(film) for film in part]).to(device), None) for part in parts)
    content = films.fingerprint
    inputs = seen(images, content and digest(content, numbers, batch))
    return numbers, np.concatenate([probabilities(predict(each).double()).cpu().numpy() for _, each, _ in inputs])
