"""Draws of a receiver's own patients to train on: nested, and each group with its share of all patients.

A patient's group is the label; or, of whole films, the class that most of the patient's are of, or the rarest of the
patient's findings.
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
    rarest_first = np.argsort(found.sum(0), kind="stable")
    without_findings = np.ones((len(found), 1), bool)  # the last group, for patients who are in no other
    return np.concatenate([found[:, rarest_first], without_findings], 1).argmax(1)


def own_patients(groups: np.ndarray, pool: Sequence[int], count: int, seed: int) -> list[int]:
    """``count`` patients of the pool, sorted; those of a smaller count are among those of a larger one.

    They are drawn one at a time, each from the group that is furthest behind its share of the pool. Groups that have
    nobody yet come first.

    Args:
        groups: as of ``group_of``, of all patients.
        pool: patients to draw from.
        count: of patients; where there are fewer, all are taken.
        seed: of the order in which a group's patients are drawn.
    """
    orders: dict[int, list[int]] = {}
    for group in np.unique(groups[list(pool)]).tolist():
        members = [patient for patient in pool if groups[patient] == group]
        orders[group] = stream(seed, "finetune", group).permutation(members).tolist()
    sizes = {group: len(order) for group, order in orders.items()}
    taken = dict.fromkeys(sizes, 0)
    for total in range(1, min(count, len(pool)) + 1):
        # A group's share of the total, size / pool * total, less what is taken of it; times the pool, in whole numbers.
        behind = {group: total * size - taken[group] * len(pool) for group, size in sizes.items()}
        empty = [group for group in sizes if not taken[group]]
        choices = empty or [group for group in sizes if taken[group] < sizes[group]]
        taken[max(choices, key=behind.__getitem__)] += 1
    return sorted(patient for group, order in orders.items() for patient in order[: taken[group]])
