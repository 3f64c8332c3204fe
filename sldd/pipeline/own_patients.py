"""Which of a receiver's own patients train: nested draws that keep the groups as they are among all.

A patient's group is the label, of films the class that most are of, or the rarest finding of any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sldd.data.cohort import Cohort
from sldd.data.stratify import patient_findings
from sldd.data.whole_films import exclusive_classes
from sldd.ops.types import TaskName
from sldd.rng import stream


def group_of(cohort: Cohort, task: TaskName) -> np.ndarray:
    """(patients,) int64: the group of each."""
    if task == "patches":
        return np.asarray(cohort.labels, np.int64)
    if task == "classes":
        classes, numbers = exclusive_classes(cohort)
        counts = [np.bincount(numbers[films], minlength=len(classes)) for films in cohort.films_of]
        return np.stack(counts).argmax(1)
    found = patient_findings(cohort)
    rare = np.argsort(found.sum(0), kind="stable")
    # The last of so many findings is for who has none.
    return np.concatenate([found[:, rare], np.ones((len(found), 1), bool)], 1).argmax(1)


def own_patients(groups: np.ndarray, pool: Sequence[int], count: int, seed: int) -> list[int]:
    """``count`` patients of the pool, of each group one first and then as many as it has among all; those of a smaller
    count are among those of a larger one.

    Args:
        groups: as of ``group_of``, of all patients.
    """
    waiting = {
        int(group): stream(seed, "finetune", int(group))
        .permutation([patient for patient in pool if groups[patient] == group])
        .tolist()
        for group in np.unique(groups[list(pool)])
    }
    sizes = {group: len(patients) for group, patients in waiting.items()}
    taken: dict[int, int] = dict.fromkeys(sizes, 0)
    for drawn in range(min(count, len(pool))):
        missing = [group for group, times in taken.items() if not times]
        # Whole numbers: the share that a group lacks, times the pool.
        lacks = {group: (drawn + 1) * size - taken[group] * len(pool) for group, size in sizes.items()}
        left = missing or [group for group, size in sizes.items() if taken[group] < size]
        taken[max(left, key=lacks.__getitem__)] += 1
    return sorted(patient for group, patients in waiting.items() for patient in patients[: taken[group]])
