"""Train, validation and test splits and folds, always by patient, never by radiograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt

from sldd.data.cohort import Cohort
from sldd.data.stratify import patient_findings, stratify
from sldd.errors import InputError
from sldd.io.film import SPLITS
from sldd.rng import stream


@dataclass(frozen=True)
class SplitSettings:
    """How patients are divided where the manifest has no ``split`` column: shares of the patients of each label."""

    validation: Annotated[float, Ge(0), Lt(1)] = 0.15
    """Share of the patients by whom states, rates and thresholds are chosen."""
    test: Annotated[float, Ge(0), Lt(1)] = 0.25
    """Share of the patients who are scored once, at the end."""
    seed: int = 0
    """Another seed, another division."""


@dataclass(frozen=True)
class Split:
    """Patient numbers of the three parts, each sorted."""

    train: list[int]
    validation: list[int]
    test: list[int]


def split_patients(cohort: Cohort, settings: SplitSettings, needed: Sequence[str] = SPLITS) -> Split:
    """Split patients, never radiographs: as the source says, else by chance, stratified by label or findings.

    Raises:
        InputError: a ``needed`` part has no positive or no negative patient; of a cohort with findings, for no class.
    """
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    if any(cohort.splits):
        for patient, part in enumerate(cohort.splits):
            parts[part or "train"].append(patient)
    elif cohort.classes:
        shares = (1 - settings.validation - settings.test, settings.validation, settings.test)
        placed = stratify(patient_findings(cohort), shares, settings.seed, "split")
        parts = {name: np.flatnonzero(placed == number).tolist() for number, name in enumerate(SPLITS)}
    else:
        for label in (0, 1):
            patients = [patient for patient, value in enumerate(cohort.labels) if value == label]
            order = stream(settings.seed, "split", label).permutation(patients).tolist()
            test = round(settings.test * len(order))
            validation = round(settings.validation * len(order))
            parts["test"] += order[:test]
            parts["validation"] += order[test : test + validation]
            parts["train"] += order[test + validation :]
    return _checked(cohort, Split(**{part: sorted(patients) for part, patients in parts.items()}), needed)


def fold_patients(cohort: Cohort, folds: int, settings: SplitSettings, needed: Sequence[str] = SPLITS) -> list[Split]:
    """Splits in which every patient is a test patient once, stratified by label or findings.

    Args:
        folds: how many; a share of about 1 / folds of the patients is tested in each.
        settings: the share of the other patients that validates, and the seed; the share of test patients is not used.

    Raises:
        InputError: a ``needed`` part of a fold has no positive or no negative patient, or the manifest fixes the parts.
    """
    tested = _test_folds(cohort, folds, settings)
    return [_fold(cohort, tested, fold, settings, needed) for fold in range(folds)]


def fold_split(cohort: Cohort, folds: int, fold: int, settings: SplitSettings, needed: Sequence[str] = SPLITS) -> Split:
    """One of the splits of ``fold_patients``, without the others."""
    return _fold(cohort, _test_folds(cohort, folds, settings), fold, settings, needed)


def _test_folds(cohort: Cohort, folds: int, settings: SplitSettings) -> np.ndarray:
    """(patients,) int64: the fold in which each patient is tested."""
    if not cohort.classes and not all(cohort.has_mask):
        raise InputError(
            f"confirm.folds: every patient trains in some fold, and radiograph {cohort.has_mask.index(False) + 1} "
            "has no mask; give every patient an organ mask or set confirm.folds to null"
        )
    if any(cohort.splits):
        raise InputError(
            "confirm.folds: every patient is to be tested once, and the data say who is (the manifest's split column, "
            "folders of splits, MedMNIST's own parts); leave these out or set confirm.folds to null"
        )
    if cohort.classes:
        return stratify(patient_findings(cohort), [1 / folds] * folds, settings.seed, "folds")
    tested = np.empty(cohort.patients, np.int64)
    for label in (0, 1):
        order = _shuffled(cohort, label, settings.seed)
        tested[order] = np.arange(len(order)) % folds
    return tested


def _shuffled(cohort: Cohort, label: int, seed: int) -> np.ndarray:
    """The patients of a label, in the random order in which they are dealt to the folds."""
    return stream(seed, "folds", label).permutation(np.flatnonzero(np.array(cohort.labels) == label))


def _fold(cohort: Cohort, tested: np.ndarray, fold: int, settings: SplitSettings, needed: Sequence[str]) -> Split:
    """The split of one fold: its patients test, of the others some validate, stratified, and the rest train.

    Args:
        tested: as of ``_test_folds``.
    """
    test = np.flatnonzero(tested == fold).tolist()
    if cohort.classes:
        rest = np.flatnonzero(tested != fold)
        shares = (1 - settings.validation, settings.validation)
        validates = stratify(patient_findings(cohort)[rest], shares, settings.seed, "folds", fold) == 1
        return _checked(cohort, Split(rest[~validates].tolist(), rest[validates].tolist(), test), needed)
    train: list[int] = []
    validation: list[int] = []
    for label in (0, 1):
        order = _shuffled(cohort, label, settings.seed)
        others = stream(settings.seed, "folds", label, fold).permutation(order[tested[order] != fold]).tolist()
        count = round(settings.validation * len(others))
        validation += others[:count]
        train += others[count:]
    return _checked(cohort, Split(sorted(train), sorted(validation), test), needed)


def _checked(cohort: Cohort, split: Split, needed: Sequence[str]) -> Split:
    """The split, where each ``needed`` part has both kinds of patient or of film; else an InputError."""
    check = _check_findings if cohort.classes else _check_labels
    for part in needed:
        check(cohort, part, vars(split)[part])
    return split


def _check_findings(cohort: Cohort, part: str, patients: Sequence[int]) -> None:
    """Raise an InputError where no class of the cohort is on some films of a part and not on others."""
    labels = cohort.film_labels[[film for patient in patients for film in cohort.films_of[patient]]]
    if ((labels == 1).any(0) & (labels == 0).any(0)).any():
        return
    whose, what = cohort.words
    if any(cohort.splits) and not patients:
        raise InputError(f"the data divide their {whose}s, and none are for {part}; add some, or no division")
    class_word = "class" if what == "image" else "finding"
    raise InputError(
        f"the {part} split has no {class_word} that some of its {what}s have and others have not "
        f"({len(patients)} {whose}s in all); change data.split or confirm.folds, or add {whose}s"
    )


def _check_labels(cohort: Cohort, part: str, patients: Sequence[int]) -> None:
    """Raise an InputError where a part has no positive or no negative patient."""
    for label, word in ((1, "positive"), (0, "negative")):
        if not any(cohort.labels[patient] == label for patient in patients):
            raise InputError(
                f"the {part} split has no {word} patient ({len(patients)} patients in all); "
                "change data.split, the manifest's split column or confirm.folds, or add patients"
            )
