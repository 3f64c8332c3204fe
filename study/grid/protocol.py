"""Evaluation protocol: the patients that train, those by which states and thresholds are chosen, those tested.

Ours: everything is chosen on validation patients. The source papers have none: they keep the state that does best on
the test patients, at a threshold fixed beforehand (Li et al. 2022, section 4.1). Their numbers can only be compared
with numbers made the same way, so that can be asked for; it is called by its name wherever such a number is shown.
"""

from __future__ import annotations

from typing import Literal

from sldd.data.cohort import Cohort
from sldd.data.split import Split, SplitSettings, fold_patients, fold_split, split_patients
from sldd.io.film import SPLITS
from sldd.metrics.patient_votes import PUBLISHED_DELTA

Protocol = Literal["validation", "paper"]


def make_split(
    cohort: Cohort, settings: SplitSettings, protocol: Protocol, folds: int | None, fold: int | None
) -> Split:
    """Patients that train, validate and test.

    Under ``paper``, validation patients train, and what is chosen "on validation patients" is chosen on test patients.

    Args:
        folds: how many rotate; None for the only split.
        fold: counts from 0; None for the first one, after all were checked.

    Raises:
        InputError: a part has no positive or no negative patient.
    """
    needed = ("train", "test") if protocol == "paper" else SPLITS
    if not folds:
        split = split_patients(cohort, settings, needed)
    elif fold is None:
        split, *_ = fold_patients(cohort, folds, settings, needed)
    else:
        split = fold_split(cohort, folds, fold, settings, needed)
    if protocol == "paper":
        return Split(sorted(split.train + split.validation), split.test, split.test)
    return split


def fixed_delta(protocol: Protocol) -> float | None:
    """The threshold that is not chosen; None where it is."""
    return PUBLISHED_DELTA if protocol == "paper" else None
