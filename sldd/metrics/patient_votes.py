"""Patch votes of patients: scores, thresholds, HM and AUC (Li et al. 2022, 3.3, 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from sldd.data.cohort import Cohort
from sldd.data.patches import CLASSES, DISCARDED, NEGATIVE, POSITIVE
from sldd.ops.digest import digest
from sldd.ops.types import ScoredPart, Seen

PUBLISHED_DELTA = 0.4
UNDECIDED = -1.0
"""Score given to a patient without an N or P vote where an order is needed: below every threshold, so negative."""


class ScorableDataset(Protocol):
    """What a network is scored on: patches, or whole films."""

    cohort: Cohort
    soft_votes: bool
    """Count class probabilities instead of votes by arg-max."""

    def scan(self, film: int, batch: int, device: torch.device) -> Iterator[tuple[torch.Tensor, np.ndarray | None]]:
        """A film's inputs on ``device``, at most ``batch`` at a time, with their classes where these are known."""
        ...


@dataclass(frozen=True)
class Votes:
    """Patch votes of a group of patients.

    Attributes:
        patients: patient numbers.
        labels: (patients,) 0 or 1.
        counts: (patients, 3) votes for I, N and P; sums of probabilities where votes are soft.
        confusion: (3, 3) patches by true class (row) and vote (column), over windows that have a class.
    """

    patients: list[int]
    labels: np.ndarray
    counts: np.ndarray
    confusion: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """#P / (#N + #P) a patient (Eq. 9); ``UNDECIDED`` where no patch voted N or P."""
        decided = self.counts[:, NEGATIVE] + self.counts[:, POSITIVE]
        shares = np.where(decided > 0, self.counts[:, POSITIVE] / np.where(decided > 0, decided, 1), UNDECIDED)
        # Of soft votes, equal shares of one film and of several differ in the last digit, which says nothing.
        return shares if (self.counts % 1 == 0).all() else shares.round(12)

    @property
    def undecided(self) -> int:
        return int((self.scores == UNDECIDED).sum())

    @property
    def patch_accuracy(self) -> float | None:
        """Mean over the true classes of the share voted right (balanced accuracy); None without any mask."""
        present = self.confusion.sum(1) > 0
        if not present.any():
            return None
        return float((np.diag(self.confusion)[present] / self.confusion.sum(1)[present]).mean())

    @property
    def auc(self) -> float | None:
        """Area under the patients' ROC curve; None where only one label is present."""
        if len(set(self.labels.tolist())) < 2:
            return None
        return float(roc_auc_score(self.labels, self.scores))


def as_they_are(parts: Iterator[ScoredPart], name: str | None) -> Iterator[ScoredPart]:
    """The images themselves, for a network that sees them."""
    return parts


@torch.no_grad()
def count_votes(
    predict: Callable[[torch.Tensor], torch.Tensor],
    patches: ScorableDataset,
    patients: Sequence[int],
    *,
    batch: int,
    device: torch.device,
    seen: Seen = as_they_are,
) -> Votes:
    """Let every patch of every patient vote by arg-max class; never more than ``batch`` crops on the device.

    Where votes are soft, a patch's class probabilities are counted instead.

    Args:
        predict: (batch, channels, side, side), or what ``seen`` makes of it, -> (batch, 3) logits, in evaluation mode.
    """
    counts = np.zeros((len(patients), len(CLASSES)), np.float64 if patches.soft_votes else np.int64)
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    films = [(row, film) for row, patient in enumerate(patients) for film in patches.cohort.films_of[patient]]
    windows = ((row, crops, classes) for row, film in films for crops, classes in patches.scan(film, batch, device))
    content = getattr(patches, "fingerprint", None)
    parts = seen(windows, content and digest(content, films, batch))
    # Soft votes are predicted part by part, as ever: in larger batches their sums would differ in the last digit, which
    # votes by arg-max do not.
    at_once = 1 if patches.soft_votes else batch
    for group in _in_groups(parts, at_once):
        inputs = [part for _, part, _ in group]
        together = torch.cat(inputs) if len(inputs) > 1 else inputs[0]
        logits_of_parts = predict(together).split([len(part) for part in inputs])
        for (row, _, classes), logits in zip(group, logits_of_parts, strict=True):
            votes = logits.argmax(1).cpu().numpy()
            if patches.soft_votes:
                counts[row] += logits.double().softmax(1).sum(0).cpu().numpy()
            else:
                counts[row] += np.bincount(votes, minlength=len(CLASSES))
            if classes is not None:
                known = classes != DISCARDED
                np.add.at(confusion, (classes[known], votes[known]), 1)
    labels = np.array([patches.cohort.labels[patient] for patient in patients])
    return Votes(list(patients), labels, counts, confusion)


def _in_groups(parts: Iterator[ScoredPart], batch: int) -> Iterator[list[ScoredPart]]:
    """Parts in groups of at most ``batch`` patches, or of one part: the more patches at once, the less each costs."""
    group: list[ScoredPart] = []
    for part in parts:
        if group and sum(len(inputs) for _, inputs, _ in group) + len(part[1]) > batch:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def harmonic_mean(sensitivity: float, specificity: float) -> float:
    """HM = 2 Sen Spe / (Sen + Spe) (Eq. 12), 0 where both are 0."""
    total = sensitivity + specificity
    return 2 * sensitivity * specificity / total if total else 0.0


@dataclass(frozen=True)
class Operating:
    """Sensitivity, specificity (None where a label is absent) and HM at one threshold."""

    sensitivity: float | None
    specificity: float | None
    hm: float | None


def operate(votes: Votes, delta: float) -> Operating:
    """Call a patient positive where the score is at least ``delta`` (Eq. 9-12); the undecided are negative."""
    called = (votes.scores >= delta) & (votes.scores != UNDECIDED)
    positive, negative = votes.labels == 1, votes.labels == 0
    sensitivity = float(called[positive].mean()) if positive.any() else None
    specificity = float((~called[negative]).mean()) if negative.any() else None
    hm = None if sensitivity is None or specificity is None else harmonic_mean(sensitivity, specificity)
    return Operating(sensitivity, specificity, hm)


@dataclass(frozen=True)
class Curve:
    """HM(delta), a step function with at most one step a patient.

    ``hm[k]`` holds for thresholds in (``delta[k-1]``, ``delta[k]``]; the first interval starts at 0,
    the last ends at 1.
    """

    delta: list[float]
    hm: list[float]

    def best(self) -> tuple[float, float]:
        """The highest HM and a threshold that gives it: the middle of the widest interval that does.

        The middle of the widest interval is farthest from the scores at which the answer would change.
        """
        top = max(self.hm)
        starts = [0.0, *self.delta[:-1]]
        best: list[tuple[float, float]] = []  # intervals with the highest HM, those that touch as one
        for start, end, hm in zip(starts, self.delta, self.hm, strict=True):
            if hm < top - 1e-9:  # the same HM of other calls may differ in the last digit
                continue
            if best and best[-1][1] == start:
                best[-1] = (best[-1][0], end)
            else:
                best.append((start, end))
        start, end = max(best, key=lambda interval: interval[1] - interval[0])
        return top, (start + end) / 2


def threshold_curve(votes: Votes) -> Curve:
    """The exact HM(delta) of a group of patients.

    Raises:
        ValueError: a label is absent, so that HM is undefined.
    """
    scores = votes.scores
    positive, negative = (np.sort(scores[votes.labels == label]) for label in (1, 0))
    if not len(positive) or not len(negative):
        raise ValueError("HM needs positive and negative patients")
    deltas = sorted({float(score) for score in scores if score > 0} | {1.0})
    # Patients below each threshold are called negative. The undecided are below all thresholds.
    false_negatives, true_negatives = positive.searchsorted(deltas).tolist(), negative.searchsorted(deltas).tolist()
    hm = [
        harmonic_mean((len(positive) - missed) / len(positive), right / len(negative))
        for missed, right in zip(false_negatives, true_negatives, strict=True)
    ]
    return Curve(deltas, hm)


def choose_threshold(votes: Votes, delta: float | None = None) -> tuple[float, float]:
    """HM of a group of patients and the threshold that gives it: ``delta``, or the best one where None.

    Raises:
        ValueError: a label is absent, so that HM is undefined.
    """
    if delta is None:
        return threshold_curve(votes).best()
    hm = operate(votes, delta).hm
    if hm is None:
        raise ValueError("HM needs positive and negative patients")
    return hm, delta
