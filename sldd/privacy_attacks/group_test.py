"""Group tests: whether patients who trained score higher than those who did not, with intervals and p-values.

The effect is the area under the ROC curve of "did this patient train", which is the probability that one who did scores
above one who did not: 0.5 where the score knows nothing. Patients are what is resampled and exchanged, never patches:
those of one patient are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from sldd.rng import stream

LEVEL = 0.95
"""Of intervals: percentiles of a bootstrap (Efron & Tibshirani 1993, chapter 13)."""
RESAMPLES = 2_000
PERMUTATIONS = 9_999
"""The smallest p-value is 1 / (this + 1): the order found counts as one (Phipson & Smyth 2010)."""
FALSE_ALARMS = 0.01
"""Share of patients who did not train that an attack may take for some who did, where it is judged by what it finds at
few false alarms (Carlini et al. 2022: an attack that is sure of a few patients is worse than its average says)."""


@dataclass(frozen=True)
class MemberLabels:
    """Which of the patients compared trained, and their labels.

    Attributes:
        member: (patients,) bool.
        labels: (patients,) numbers; both groups are made by label, so labels are never exchanged.
    """

    member: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class GroupTest:
    """An attack's result: AUC, p-value, true-positive rate.

    Attributes:
        auc, auc_low, auc_high: the effect and its interval.
        p: one-sided p-value, by permutation among patients of equal label, of the null hypothesis that those who
            trained do not score higher.
        tpr, tpr_low, tpr_high: true-positive rate, the share of those who trained that the attack finds at
            ``false_alarms``, and its interval.
        false_alarms: false positives allowed, in held-out patients: the share ``FALSE_ALARMS`` of them, rounded down,
            so 0 below a hundred.
        training, held_out: patients.
    """

    auc: float
    auc_low: float
    auc_high: float
    p: float
    tpr: float
    tpr_low: float
    tpr_high: float
    false_alarms: int
    training: int
    held_out: int


def compare(scores: np.ndarray, groups: MemberLabels, seed: int) -> GroupTest:
    """Test scores that are meant to be higher for patients who trained.

    Args:
        scores: (patients,), finite; or (patients, k) for k scores each, whose AUCs are averaged. The share found at few
            false alarms is then that of a patient's highest score.
    """
    columns = _columns(scores)
    pairs, member = above(columns), groups.member
    highest = columns.max(1)
    drawn = resamples(groups, seed)
    resampled_aucs = _auc(pairs, drawn * member, drawn * ~member)
    resampled_tprs = [found_at(np.repeat(highest, times), np.repeat(member, times)) for times in drawn]
    exchanged = permutations(groups, seed)
    null_aucs = _auc(pairs, exchanged, ~exchanged)
    low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    auc = area(scores, member)
    return GroupTest(
        auc=auc,
        auc_low=float(np.quantile(resampled_aucs, low)),
        auc_high=float(np.quantile(resampled_aucs, high)),
        p=p_value(auc, null_aucs),
        tpr=found_at(highest, member),
        tpr_low=float(np.quantile(resampled_tprs, low)),
        tpr_high=float(np.quantile(resampled_tprs, high)),
        false_alarms=allowed(int((~member).sum())),
        training=int(member.sum()),
        held_out=int((~member).sum()),
    )


def area(scores: np.ndarray, member: np.ndarray) -> float:
    """The AUC alone, of scores (patients,) or (patients, k)."""
    return float(_auc(above(_columns(scores)), member[None], ~member[None])[0])


def _columns(scores: np.ndarray) -> np.ndarray:
    """(patients, k) scores to twelve digits of the largest: the means of a few patches and of many differ in the last
    digit where they are equal, which says nothing of who trained."""
    columns = scores.reshape(len(scores), -1).astype(np.float64)
    largest = np.abs(columns).max(0, initial=0)
    scale = np.where(largest > 0, largest, 1)
    return (columns / scale).round(12) * scale


def above(scores: np.ndarray) -> np.ndarray:
    """(patients, patients) share of a row's k scores that are above the column's same scores; a tie counts half.

    Args:
        scores: (patients, k).
    """
    total = np.zeros((len(scores), len(scores)))
    for column in scores.T:
        total = total + np.sign(column[:, None] - column[None, :])
    return 0.5 + 0.5 * total / scores.shape[1]


def allowed(held_out: int) -> int:
    """False alarms that an attack may raise among so many held-out patients: ``FALSE_ALARMS`` of them, rounded down."""
    return math.floor(FALSE_ALARMS * held_out)


def permutations(groups: MemberLabels, seed: int) -> np.ndarray:
    """(``PERMUTATIONS``, patients) bool: who trained, permuted among patients of equal label."""
    random = stream(seed, "anonymity", "permutation")
    exchanged = np.tile(groups.member, (PERMUTATIONS, 1))
    for label in np.unique(groups.labels):
        of_label = groups.labels == label
        exchanged[:, of_label] = random.permuted(exchanged[:, of_label], axis=1)
    return exchanged


def p_value(found: float, null: np.ndarray) -> float:
    """One-sided p-value: the share of permutations whose statistic is as high as ``found``, itself one of them.

    Args:
        found: the statistic as seen.
        null: (permutations,) the statistic after each.
    """
    return float(((null >= found - 1e-9).sum() + 1) / (len(null) + 1))


def higher_p(values: np.ndarray, yardstick: np.ndarray, seed: int) -> float:
    """One-sided p-value that ``values`` (n,) are no higher than ``yardstick`` (m,): a permutation test of rank sums."""
    ranks = rankdata(np.concatenate([values, yardstick]))
    random = stream(seed, "anonymity", "ranks")
    exchanged = random.permuted(np.tile(ranks, (PERMUTATIONS, 1)), axis=1)
    return p_value(ranks[: len(values)].sum(), exchanged[:, : len(values)].sum(1))


def resamples(groups: MemberLabels, seed: int) -> np.ndarray:
    """(``RESAMPLES``, patients): how often each is drawn, with replacement, each group and label by itself."""
    random = stream(seed, "anonymity", "bootstrap")
    times = np.zeros((RESAMPLES, len(groups.member)), np.int64)
    for member in (True, False):
        for label in np.unique(groups.labels):
            rows = np.flatnonzero((groups.member == member) & (groups.labels == label))
            if len(rows):
                times[:, rows] = random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=RESAMPLES)
    return times


def _auc(pairs: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """(n,) AUCs: means of ``above`` over all pairs of a patient who trained and a held-out one.

    Args:
        pairs: (patients, patients), as of ``above``.
        training, held_out: (n, patients) how often each patient is on that side.
    """
    training, held_out = training.astype(np.float64), held_out.astype(np.float64)
    total = ((training @ pairs) * held_out).sum(1)
    return total / (training.sum(1) * held_out.sum(1))


def found_at(scores: np.ndarray, member: np.ndarray) -> float:
    """True-positive rate: the share of those who trained that score above all held-out patients but ``allowed``."""
    others = np.sort(scores[~member])
    return float((scores[member] > others[-1 - allowed(len(others))]).mean())
