"""Which own patients train: nested draws in which every group keeps its share."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sldd
from sldd.pipeline.own_patients import group_of, own_patients

LABELS = np.arange(12) % 2


def test_draws_keep_prevalence_and_small_ones_lie_in_large_ones() -> None:
    pool = [patient for patient in range(12) if patient % 4 != 3]  # 6 negative, 3 positive
    draws = [own_patients(LABELS, pool, count, 1) for count in range(2, 10)]
    for smaller, larger in itertools.pairwise(draws):
        assert set(smaller) < set(larger)
    assert [len(draw) for draw in draws] == [*range(2, 10)]
    assert [sum(patient % 2 for patient in draw) for draw in draws] == [1, 1, 1, 2, 2, 2, 3, 3]
    assert draws[-1] == pool
    assert any(own_patients(LABELS, pool, 4, seed) != draws[2] for seed in range(2, 5))


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 9), data=st.data())
def test_every_group_is_there_and_no_group_is_off_by_more_than_what_the_first_ones_took(sizes, seed, data) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    pool = list(range(len(groups)))
    count = data.draw(st.integers(len(sizes), len(pool)))
    drawn = own_patients(groups, pool, count, seed)
    taken = np.bincount(groups[drawn], minlength=len(sizes))
    assert len(set(drawn)) == count
    assert (taken >= 1).all()
    assert (taken <= sizes).all()
    share = count * np.array(sizes) / len(pool)
    assert (taken <= np.maximum(1, np.ceil(share))).all(), "nobody gets more than the share, rounded up"


def test_groups_are_labels_classes_or_rarest_findings(tmp_path: Path) -> None:
    films = np.random.default_rng(0).integers(0, 255, (6, 8, 8)).astype(np.uint8)
    classes = sldd.open_cohort(films, list("aabbca"), subjects=list("uuvvww"), cache=tmp_path)
    assert group_of(classes, "classes").tolist() == [0, 1, 0], "of as many of two classes, the first"
    findings = np.array([[1, 0], [1, 1], [0, 0], [1, 0], [0, 1], [1, np.nan]], float)
    several = sldd.open_cohort(films, findings, classes=["often", "rare"], cache=tmp_path)
    assert group_of(several, "multilabel").tolist() == [1, 0, 2, 1, 0, 1]
