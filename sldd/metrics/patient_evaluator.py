"""Evaluator of patients, positive or negative, told by the votes of their patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from sldd.metrics.evaluators import Predict, SelectionKey
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
from sldd.ops.types import Seen


@dataclass(frozen=True)
class PatientScores:
    """Patients' votes, with HM at the threshold ``delta``, or at the best one where None.

    States are compared by the mean of patient AUC and patch accuracy, which move with every patch, and only then by HM,
    which moves with a patient at a time. At a given threshold, as published, HM decides.
    """

    votes: Votes
    delta: float | None

    @cached_property
    def _chosen(self) -> tuple[float, float]:
        """HM and the threshold that gives it, which take the whole curve where none is given."""
        return choose_threshold(self.votes, self.delta)

    @property
    def key(self) -> SelectionKey:
        hm, _ = self._chosen
        auc, accuracy = self.votes.auc or 0.0, self.votes.patch_accuracy
        if self.delta is not None:
            return (hm, auc, accuracy or 0.0)
        return (auc if accuracy is None else (auc + accuracy) / 2, hm, auc)

    @property
    def headline(self) -> float:
        return self._chosen[0]

    def history(self) -> dict[str, float | None]:
        hm, _ = self._chosen
        return {"val_hm": hm, "val_auc": self.votes.auc, "val_patch_accuracy": self.votes.patch_accuracy}

    @property
    def threshold(self) -> float:
        return self._chosen[1]

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
            "curve": None if at.hm is None else vars(threshold_curve(votes)),
            "patients": [
                {"patient": pseudonyms[patient], "label": int(label), "votes": counts.tolist()}
                for patient, label, counts in zip(votes.patients, votes.labels, votes.counts, strict=True)
            ],
        }


class PatientEvaluator:
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
