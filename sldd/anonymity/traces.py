"""Do the batch-norm statistics alone (``theta_bn``) give away who is in them?

They are means over the training patients' patches, layer by layer, and means give their members away: whoever has a
patient's own values and those of some others can tell (Homer et al. 2008, for pools of DNA). The score is that of Dwork
et al. (2015): with a patient's values y, the statistics m and the mean o of held-out patients,

    score = <y - o, m - o>,        in deviations of the held-out patients,

zero on average for a patient outside and positive for one inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sldd.anonymity.comparison import Found, Groups, area, compare, found_at
from sldd.streams import stream

_DRAWS = 20
"""Pools of each size in the control, whose AUCs are averaged."""


@dataclass(frozen=True)
class Pool:
    """The control: the same attack on the mean of so many training patients, a mean over several such pools."""

    patients: int
    auc: float
    tpr: float


def trace(moments: np.ndarray, pooled: np.ndarray, groups: Groups, seed: int) -> Found:
    """Score every patient's own moments (patients, c) against those of the statistics (c,)."""
    return compare(scores(moments, pooled, groups, seed), groups, seed)


def scores(moments: np.ndarray, pooled: np.ndarray, groups: Groups, seed: int) -> np.ndarray:
    """(patients,) as above.

    No held-out patient is among their own yardstick, and for those who trained one is left out as well: otherwise the
    yardsticks' own errors would differ between the groups, and their difference look like a trace.
    """
    random = stream(seed, "anonymity", "traces")
    found = np.empty(len(moments))
    outside = {label: np.flatnonzero(~groups.member & (groups.labels == label)) for label in (0, 1)}
    spread = np.concatenate([moments[rows] - moments[rows].mean(0) for rows in outside.values() if len(rows)])
    deviation = spread.std(0)
    scale = np.where(deviation > 1e-6 * (1 + np.abs(pooled)), 1 / np.maximum(deviation, 1e-12), 0.0)
    for row, (member, label) in enumerate(zip(groups.member, groups.labels, strict=True)):
        left_out = int(random.choice(outside[label])) if member else row
        others = {each: moments[rows[rows != left_out]].mean(0) for each, rows in outside.items()}
        middle = (others[0] + others[1]) / 2
        found[row] = ((moments[row] - others[label]) * scale) @ ((pooled - middle) * scale)
    return found


def control(moments: np.ndarray, groups: Groups, seed: int) -> list[Pool]:
    """Attack pools of ever more training patients: the size up to which it finds them says what it can do here."""
    random = stream(seed, "anonymity", "pools")
    inside = [np.flatnonzero(groups.member & (groups.labels == label)) for label in (0, 1)]
    pools = []
    for size in _sizes(min(map(len, inside))):
        found = []
        for number in range(_DRAWS):
            chosen = np.concatenate([random.choice(rows, size, replace=False) for rows in inside])
            kept = np.flatnonzero(~groups.member | np.isin(np.arange(len(moments)), chosen))
            part = Groups(groups.member[kept], groups.labels[kept])
            each = scores(moments[kept], moments[chosen].mean(0), part, seed + number)
            found.append((area(each, part.member), found_at(each, part.member)))
        auc, tpr = np.mean(found, axis=0)
        pools.append(Pool(2 * size, float(auc), float(tpr)))
    return pools


def _sizes(most: int) -> list[int]:
    """Patients of each label: 1, 2, 4 ... and all."""
    sizes = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*sizes, most]
