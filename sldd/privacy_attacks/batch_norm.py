"""Membership attack on batch-norm statistics: does ``theta_bn`` alone reveal who is in it?

They are means over the training patients' patches, layer by layer, and means give their members away: whoever has a
patient's own values and those of some others can tell (Homer et al. 2008, for pools of DNA). With a patient's values y,
the statistics m, and the mean o and covariance S of held-out patients, the score is

    score = <y - o, S^-1 (m - o)>,

zero on average for a patient outside and positive for one inside (Dwork et al. 2015; with S it is the likelihood ratio
of Gaussian values, Sankararaman et al. 2009). Channels go together, a few ways in which films differ decide them all:
without S the attack missed most of what it finds with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sldd.privacy_attacks.group_test import GroupTest, MemberLabels, area, compare, found_at
from sldd.rng import stream

_NOISE = 1.0
"""Added to the variance of every channel, in units of its own: fewer patients than channels leave S without an inverse.
A tenth or ten times as much changed no AUC by more than 0.02 where tried."""
_DRAWS = 20
"""Pools of each size in the control, whose AUCs are averaged."""
_OUTSIDE = 30
"""Held-out patients of each label in the control: with all of a large cohort's it would take hours."""


@dataclass(frozen=True)
class Pool:
    """Control: the same attack on the mean of so many training patients, averaged over several such pools."""

    patients: int
    auc: float
    tpr: float


def trace(moments: np.ndarray, pooled: np.ndarray, groups: MemberLabels, seed: int) -> GroupTest:
    """Score every patient's own moments (patients, c) against those of the statistics (c,)."""
    return compare(scores(moments, pooled, groups, seed), groups, seed)


def scores(moments: np.ndarray, pooled: np.ndarray, groups: MemberLabels, seed: int) -> np.ndarray:
    """(patients,) as above.

    No held-out patient is among their own yardstick, and for those who trained one is left out as well: otherwise the
    yardsticks' own errors would differ between the groups, and their difference look like a trace.
    """
    random = stream(seed, "anonymity", "traces")
    outside = {label: np.flatnonzero(~groups.member & (groups.labels == label)) for label in np.unique(groups.labels)}
    found = np.empty(len(moments))
    for row, (member, label) in enumerate(zip(groups.member, groups.labels, strict=True)):
        left_out = int(random.choice(outside[label])) if member else row
        others = {each: moments[rows[rows != left_out]] for each, rows in outside.items()}
        found[row] = _score(moments[row], pooled, others, label)
    return found


def _score(values: np.ndarray, pooled: np.ndarray, others: dict[int, np.ndarray], label: int) -> float:
    """One patient's, by held-out patients of each label: the statistics are of all, in equal parts."""
    means = {each: rows.mean(0) for each, rows in others.items()}
    spread = np.concatenate([rows - means[each] for each, rows in others.items()])
    std = spread.std(0)
    scale = np.where(std > 1e-6 * (1 + np.abs(pooled)), 1 / np.maximum(std, 1e-12), 0.0)
    spread = spread * scale
    own, given = (values - means[label]) * scale, (pooled - sum(means.values()) / len(means)) * scale
    # S = spread' spread / n + noise, inverted by way of its few patients instead of its many channels (Woodbury).
    small = len(spread) * _NOISE * np.eye(len(spread)) + spread @ spread.T
    return float(own @ (given - spread.T @ np.linalg.solve(small, spread @ given)) / _NOISE)


def control(moments: np.ndarray, groups: MemberLabels, seed: int) -> list[Pool]:
    """Attack pools of ever more training patients: the size up to which it finds them says what it can do here."""
    random = stream(seed, "anonymity", "pools")
    inside, outside = (
        [np.flatnonzero((groups.member == member) & (groups.labels == label)) for label in np.unique(groups.labels)]
        for member in (True, False)
    )
    few = stream(seed, "anonymity", "outside the pools")
    others = np.concatenate([few.permutation(rows)[:_OUTSIDE] for rows in outside])
    pools = []
    for size in _sizes(min(map(len, inside))):
        found = []
        for number in range(_DRAWS):
            chosen = np.concatenate([random.choice(rows, size, replace=False) for rows in inside])
            kept = np.sort(np.concatenate([chosen, others]))
            part = MemberLabels(groups.member[kept], groups.labels[kept])
            each = scores(moments[kept], moments[chosen].mean(0), part, seed + number)
            found.append((area(each, part.member), found_at(each, part.member)))
        auc, tpr = np.mean(found, axis=0)
        pools.append(Pool(len(inside) * size, float(auc), float(tpr)))
    return pools


def _sizes(most: int) -> list[int]:
    """Patients of each label: 1, 2, 4 ... and all."""
    sizes = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*sizes, most]
