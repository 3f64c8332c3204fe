"""Stratified splits: every part gets its share of each finding, better than chance would give it."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.folds import by_chance, imbalance
from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import DataSettings, open_source
from sldd.data.split import SplitSettings, fold_patients, split_patients
from sldd.data.stratify import patient_findings, stratify
from sldd.errors import InputError
from tests.shared_data import DATA

REAL = DATA / "chest" / "nih64"


def _cohort(findings: np.ndarray, patients: list[int], splits: list[str | None] | None = None) -> Cohort:
    films, count = len(findings), max(patients) + 1
    rows = [[None if np.isnan(value) else value for value in row] for row in findings.tolist()]
    return Cohort(
        Path(), "", "uint8", [[8, 8]] * films, patients, [False] * films, [0] * count, splits or [None] * count,
        [0.0] * films, [0.0] * films, [f"c{number}" for number in range(findings.shape[1])], rows,
    )  # fmt: skip


def _made_up(seed: int, films: int = 400) -> Cohort:
    """Findings from common to rare that come together, one to seven films a patient."""
    random = np.random.default_rng(seed)
    ill = random.random(films) < 0.5
    findings = (random.random((films, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.03]) & ill[:, None]
    patients = np.sort(random.integers(0, films // 3, films))
    return _cohort(findings.astype(float), np.unique(patients, return_inverse=True)[1].tolist())


def test_a_patient_has_the_findings_of_all_films() -> None:
    films = np.array([[1, 0, np.nan], [0, 0, np.nan], [np.nan, 1, 0]])
    assert patient_findings(_cohort(films, [0, 0, 1])).tolist() == [[True, False, False], [False, True, False]]


def test_two_findings_by_hand() -> None:
    findings = np.array([[1, 0]] * 4 + [[0, 1]] * 4 + [[0, 0]] * 4, bool)
    placed = stratify(findings, [0.5, 0.5], 0, "t")
    assert [findings[placed == part].sum(0).tolist() for part in (0, 1)] == [[2, 2], [2, 2]]
    assert (placed == 0).sum() == 6


@hypothesis.settings(max_examples=25)
@given(seed=st.integers(0, 50), folds=st.integers(2, 5))
def test_folds_test_every_patient_once_and_are_the_same_again(seed: int, folds: int) -> None:
    cohort = _made_up(seed % 5)
    settings = SplitSettings(validation=0.2, seed=seed)
    splits = fold_patients(cohort, folds, settings)
    assert sorted(patient for split in splits for patient in split.test) == list(range(cohort.patients))
    for split in splits:
        assert sorted(split.train + split.validation + split.test) == list(range(cohort.patients))
    assert splits == fold_patients(cohort, folds, settings)
    assert splits != fold_patients(cohort, folds, SplitSettings(validation=0.2, seed=seed + 1))


def test_another_seed_is_another_division() -> None:
    one, other = (split_patients(_made_up(0), SplitSettings(seed=seed)) for seed in (0, 1))
    assert one.validation != other.validation
    assert one.test != other.test


def test_of_those_who_are_not_tested_the_share_validates_that_was_asked_for() -> None:
    cohort = _made_up(1)
    for split in fold_patients(cohort, 4, SplitSettings(validation=0.1)):
        assert len(split.validation) / (cohort.patients - len(split.test)) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_better_balanced_than_plain_ones(seed: int) -> None:
    cohort = _made_up(seed)
    ours = imbalance(cohort, [split.test for split in fold_patients(cohort, 5, SplitSettings(seed=seed))])
    plain = [imbalance(cohort, by_chance(cohort, 5, number)) for number in range(50)]
    assert ours < min(plain)
    assert ours < 0.5 * float(np.mean(plain))


def test_one_split_is_better_balanced_than_a_plain_one() -> None:
    cohort = _made_up(7)
    split = split_patients(cohort, SplitSettings(validation=0.15, test=0.25))
    parts = [split.train, split.validation, split.test]
    assert [len(part) / cohort.patients for part in parts] == pytest.approx([0.6, 0.15, 0.25], abs=0.02)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    plain = [
        imbalance(
            cohort, [part.tolist() for part in np.split(np.random.default_rng(n).permutation(cohort.patients), ends)]
        )
        for n in range(50)
    ]
    assert imbalance(cohort, parts) < min(plain)


def test_a_part_without_a_share_gets_nobody() -> None:
    split = split_patients(_made_up(0), SplitSettings(validation=0.0), needed=("train", "test"))
    assert split.validation == []


def test_the_sources_own_division_wins() -> None:
    findings = np.array([[1.0], [0.0]] * 3)
    splits = ["train", "train", "validation", "validation", "test", "test"]
    split = split_patients(_cohort(findings, [*range(6)], list(splits)), SplitSettings())
    assert (split.train, split.validation, split.test) == ([0, 1], [2, 3], [4, 5])


def test_a_part_in_which_nothing_can_be_scored_is_refused() -> None:
    unknown = [np.nan, np.nan]
    findings = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], unknown])  # the next-to-last too
    splits = ["train", "train", "validation", "validation", "test", "test"]
    with pytest.raises(InputError, match="the validation split has no finding that some of its films have"):
        split_patients(_cohort(findings, [*range(6)], list(splits)), SplitSettings())


def test_real_films_are_balanced_better_too(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no chest films in {REAL.parents[1]}; set SLDD_DATA to the folder that holds them")
    cohort = prepare(open_source(DataSettings(source="nih", root=str(REAL))), tmp_path)
    assert (cohort.patients, len(cohort.film_patients)) == (264, 1000)
    assert int((cohort.film_labels.sum(1) == 0).sum()) == 499
    assert int((cohort.film_labels.sum(1) > 1).sum()) == 213
    ours = imbalance(cohort, [split.test for split in fold_patients(cohort, 5, SplitSettings())])
    plain = [imbalance(cohort, by_chance(cohort, 5, number)) for number in range(50)]
    assert ours < min(plain)
