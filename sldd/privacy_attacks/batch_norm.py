"""Membership attack on batch-norm statistics: does ``theta_bn`` alone reveal who is in it?

They are means over the training patients' patches, layer by layer, and means give their members away: whoever has a
patient's own values and those of some others can tell (Homer et al. 2008, for pools of DNA). With a patient's values y,
the statistics m, and the mean o and covariance S of held-out patients, the score is

    score = <y - o, S^-1 (m - o)>,

zero on average for a patient outside and positive for one inside (Dwork et al. 2015; with S it is the likelihood ratio
of Gaussian values, Sankararaman et al. 2009). Channels are correlated, since films differ in a few ways that show in
all of them: without S the attack missed most of what it finds with it.
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
    """Control: the same attack on the mean of so many training patients, averaged over several such pools.

    Attributes:
        patients: of all labels together.
        auc, tpr: as of ``GroupTest``.
    """

    patients: int
    auc: float
    tpr: float


def trace(moments: np.ndarray, pooled: np.ndarray, groups: MemberLabels, seed: int) -> GroupTest:
    """Score every patient's own moments (patients, c) against those of the statistics (c,)."""
    return compare(scores(moments, pooled, groups, seed), groups, seed)


def scores(moments: np.ndarray, pooled: np.ndarray, groups: MemberLabels, seed: int) -> np.ndarray:
    """(patients,) scores of the attack, the higher the more likely the patient is in the statistics.

    The mean o and the covariance S are of held-out patients, but for one: a held-out patient is left out of the
    patient's own yardstick, and for a patient who trained one at random. Otherwise the errors of o and S would differ
    between the groups, and that difference look like a trace.

    Args:
        moments: (patients, c) each patient's own values.
        pooled: (c,) the statistics.
    """
    random = stream(seed, "anonymity", "traces")
    held_out = _rows_by_label(groups, member=False)
    found = np.empty(len(moments))
    for row, (member, label) in enumerate(zip(groups.member, groups.labels, strict=True)):
        left_out = int(random.choice(held_out[label])) if member else row
        others = {each: moments[rows[rows != left_out]] for each, rows in held_out.items()}
        found[row] = _score(moments[row], pooled, others, label)
    return found


def _rows_by_label(groups: MemberLabels, *, member: bool) -> dict[int, np.ndarray]:
    """Rows of the patients of each label who trained, or who did not."""
    side = groups.member == member
    return {label: np.flatnonzero(side & (groups.labels == label)) for label in np.unique(groups.labels)}


def _score(values: np.ndarray, pooled: np.ndarray, others: dict[int, np.ndarray], label: int) -> float:
    """<y - o, S^-1 (m - o)> of one patient, in units of each channel's deviation.

    Args:
        values: (c,) the patient's own, y.
        pooled: (c,) the statistics, m.
        others: (patients, c) of held-out patients, by label. A patient's o is the mean of the patient's label, that of
            the statistics the mean over labels: they are of all labels in equal parts.
        label: the patient's.
    """
    means = {each: rows.mean(0) for each, rows in others.items()}
    spread = np.concatenate([rows - means[each] for each, rows in others.items()])  # (n, c)
    std = spread.std(0)
    varies = std > 1e-6 * (1 + np.abs(pooled))  # a channel that does not vary has no say
    scale = np.where(varies, 1 / np.maximum(std, 1e-12), 0.0)
    spread = spread * scale
    own = (values - means[label]) * scale
    given = (pooled - sum(means.values()) / len(means)) * scale
    # S = spread' spread / n + noise I is (c, c), of many channels; by Woodbury's identity only (n, n) is solved:
    # S^-1 given = (given - spread' (n noise I + spread spread')^-1 spread given) / noise.
    small = len(spread) * _NOISE * np.eye(len(spread)) + spread @ spread.T
    return float(own @ (given - spread.T @ np.linalg.solve(small, spread @ given)) / _NOISE)


def control(moments: np.ndarray, groups: MemberLabels, seed: int) -> list[Pool]:
    """Attack pools of ever more training patients: the size up to which it finds them says what it can do here.

    Args:
        moments: (patients, c) each patient's own values, whose means over the pools are attacked.
    """
    random = stream(seed, "anonymity", "pools")
    training = list(_rows_by_label(groups, member=True).values())
    few = stream(seed, "anonymity", "outside the pools")
    held_out = _rows_by_label(groups, member=False).values()
    others = np.concatenate([few.permutation(rows)[:_OUTSIDE] for rows in held_out])
    pools = []
    for size in _sizes(min(map(len, training))):
        found = []
        for number in range(_DRAWS):
            pool = np.concatenate([random.choice(rows, size, replace=False) for rows in training])
            kept = np.sort(np.concatenate([pool, others]))
            part = MemberLabels(groups.member[kept], groups.labels[kept])
            each = scores(moments[kept], moments[pool].mean(0), part, seed + number)
            found.append((area(each, part.member), found_at(each, part.member)))
        auc, tpr = np.mean(found, axis=0)
        pools.append(Pool(len(training) * size, float(auc), float(tpr)))
    return pools


def _sizes(most: int) -> list[int]:
    """Sizes of the pools, in patients of each label: 1, 2, 4 ... and all."""
    sizes = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*sizes, most]
