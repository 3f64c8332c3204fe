"""Splits and folds: patients are divided, never radiographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sldd.data.cohort import Cohort
from sldd.data.split import SplitSettings, fold_patients, split_patients
from sldd.errors import InputError


def _cohort(labels: list[int], splits: list[str | None] | None = None) -> Cohort:
    count = len(labels)
    return Cohort(
        Path(), "", "uint8", [[8, 8]] * count, list(range(count)), [True] * count, labels,
        splits or [None] * count, [0.0] * count, [0.0] * count,
    )  # fmt: skip


@given(
    positives=st.integers(4, 60),
    negatives=st.integers(4, 60),
    seed=st.integers(0, 9),
    shares=st.tuples(st.floats(0.2, 0.35), st.floats(0.2, 0.35)),
)
def test_no_patient_is_in_two_parts(positives: int, negatives: int, seed: int, shares: tuple[float, float]) -> None:
    cohort = _cohort([1] * positives + [0] * negatives)
    split = split_patients(cohort, SplitSettings(*shares, seed=seed))
    everyone = split.train + split.validation + split.test
    assert sorted(everyone) == list(range(cohort.patients))
    for part, share in ((split.validation, shares[0]), (split.test, shares[1])):
        positive = sum(cohort.labels[patient] for patient in part)
        assert abs(positive - share * positives) <= 0.5
        assert abs(len(part) - positive - share * negatives) <= 0.5
    assert split == split_patients(cohort, SplitSettings(*shares, seed=seed))


def test_another_seed_is_another_division() -> None:
    one, other = (split_patients(_cohort([0, 1] * 20), SplitSettings(seed=seed)) for seed in (0, 1))
    for part in ("train", "validation", "test"):
        assert vars(one)[part] != vars(other)[part]
        assert len(vars(one)[part]) == len(vars(other)[part])


def test_split_column_wins() -> None:
    splits = ["train", "train", "validation", "validation", "test", "test"]
    split = split_patients(_cohort([0, 1] * 3, list(splits)), SplitSettings())
    assert (split.train, split.validation, split.test) == ([0, 1], [2, 3], [4, 5])


def test_part_without_positives_is_refused() -> None:
    with pytest.raises(InputError, match="validation split has no positive patient"):
        split_patients(_cohort([0] * 20 + [1] * 2), SplitSettings())


@given(folds=st.integers(2, 5), positives=st.integers(10, 40), negatives=st.integers(10, 40), seed=st.integers(0, 9))
def test_folds_test_every_patient_once_and_mix_nobody(folds: int, positives: int, negatives: int, seed: int) -> None:
    cohort = _cohort([1] * positives + [0] * negatives)
    settings = SplitSettings(validation=0.3, seed=seed)
    splits = fold_patients(cohort, folds, settings)
    assert sorted(patient for split in splits for patient in split.test) == list(range(cohort.patients))
    for split in splits:
        assert sorted(split.train + split.validation + split.test) == list(range(cohort.patients))
        for label, all_of_them in ((1, positives), (0, negatives)):
            tested, validating = (
                sum(cohort.labels[patient] == label for patient in part) for part in (split.test, split.validation)
            )
            assert 0 <= tested - all_of_them // folds <= 1
            assert abs(validating - 0.3 * (all_of_them - tested)) <= 0.5
    assert splits == fold_patients(cohort, folds, settings)
    assert splits != fold_patients(cohort, folds, replace(settings, seed=seed + 1))


def test_folds_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="split has no"):
        fold_patients(_cohort([0, 1] * 6), 20, SplitSettings())
    with pytest.raises(InputError, match="the train split has no positive patient"):
        fold_patients(_cohort([0] * 12), 3, SplitSettings())
    with pytest.raises(InputError, match=r"confirm\.folds: every patient is to be tested once"):
        fold_patients(_cohort([0, 1] * 6, ["train", "test"] * 6), 3, SplitSettings())


def test_every_patient_trains_so_every_patient_needs_a_mask() -> None:
    cohort = replace(_cohort([0, 1] * 6), has_mask=[True] * 5 + [False] + [True] * 6)
    with pytest.raises(InputError, match=r"confirm\.folds: .* radiograph 6 has no mask"):
        fold_patients(cohort, 3, SplitSettings())


def test_only_needed_parts_are_checked() -> None:
    cohort = _cohort([0, 1] * 2, ["train", "train", "test", "test"])
    assert split_patients(cohort, SplitSettings(), needed=("train", "test")).validation == []
