"""Who may be used for what."""

from __future__ import annotations

from pathlib import Path

import pytest

from sldd.data.cohort import Cohort
from sldd.data.split import SplitSettings
from sldd.errors import InputError
from study.grid.protocol import fixed_delta, make_split

SETTINGS = SplitSettings(validation=0.25, test=0.25)


def _cohort(splits: list[str | None] | None = None) -> Cohort:
    labels = [0, 1] * 12
    n = len(labels)
    return Cohort(
        Path(),
        "",
        "uint8",
        [[8, 8]] * n,
        list(range(n)),
        [True] * n,
        labels,
        splits or [None] * n,
        [0.0] * n,
        [0.0] * n,
    )


def test_nobody_who_is_tested_is_chosen_on() -> None:
    for folds, fold in ((None, None), (3, 0), (3, 2)):
        split = make_split(_cohort(), SETTINGS, "validation", folds, fold)
        assert not set(split.test) & set(split.validation + split.train)
    assert fixed_delta("validation") is None


def test_the_papers_choose_on_test_patients_and_train_on_all_others() -> None:
    ours, papers = (make_split(_cohort(), SETTINGS, protocol, None, None) for protocol in ("validation", "paper"))
    assert papers.test == papers.validation == ours.test
    assert papers.train == sorted(ours.train + ours.validation)
    assert fixed_delta("paper") == 0.4


def test_the_papers_need_no_validation_patients() -> None:
    splits: list[str | None] = ["train"] * 12 + ["test"] * 12
    assert make_split(_cohort(splits), SETTINGS, "paper", None, None).train == list(range(12))
    with pytest.raises(InputError, match="validation split has no"):
        make_split(_cohort(splits), SETTINGS, "validation", None, None)
