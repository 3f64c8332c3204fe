"""Group tests, the statistics that every attack is judged by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sldd.privacy_attacks.group_test import (
    MemberLabels,
    allowed,
    area,
    compare,
    found_at,
    p_value,
    permutations,
    resamples,
)


def _groups(training: int, held_out: int) -> MemberLabels:
    member = np.arange(training + held_out) < training
    return MemberLabels(member, np.arange(training + held_out) % 2)


@given(st.lists(st.integers(0, 5), min_size=7, max_size=7), st.integers(1, 6))
def test_the_area_is_that_of_the_roc_curve_ties_included(values: list[int], training: int) -> None:
    member = np.arange(7) < training
    found = area(np.array(values, float), member)
    assert found == pytest.approx(roc_auc_score(member, values))
    assert area(np.array(values, float), ~member) == pytest.approx(1 - found)


def test_what_is_told_apart_is_found_and_what_is_not_is_not() -> None:
    groups = _groups(10, 12)
    found = compare(groups.member + 0.01 * np.arange(22), groups, 0)
    assert (found.auc, found.auc_low, found.tpr, found.false_alarms) == (1.0, 1.0, 1.0, 0)
    assert found.p < 0.001
    assert (found.training, found.held_out) == (10, 12)
    nothing = compare(np.zeros(22), groups, 0)
    assert (nothing.auc, nothing.p, nothing.tpr) == (0.5, 1.0, 0.0)


def test_p_values_of_noise_are_evenly_spread() -> None:
    groups, random = _groups(12, 12), np.random.default_rng(3)
    found = [compare(random.standard_normal(24), groups, 0) for _ in range(25)]
    small = sum(each.p <= 0.2 for each in found)
    assert 1 <= small <= 10  # five expected
    assert sum(each.auc_low <= 0.5 <= each.auc_high for each in found) >= 20


def test_several_scores_a_patient_are_averaged_as_areas() -> None:
    groups, random = _groups(5, 6), np.random.default_rng(0)
    scores = random.standard_normal((11, 3))
    mean = np.mean([area(column, groups.member) for column in scores.T])
    assert area(scores, groups.member) == pytest.approx(mean)


def test_patients_are_exchanged_and_drawn_within_their_label() -> None:
    groups = MemberLabels(np.array([True, True, True, False, False, False, False]), np.array([0, 0, 1, 0, 1, 1, 1]))
    exchanged = permutations(groups, 1)
    assert (exchanged[:, groups.labels == 0].sum(1) == 2).all()
    assert (exchanged[:, groups.labels == 1].sum(1) == 1).all()
    assert exchanged.std(0).min() > 0
    times = resamples(groups, 1)
    assert (times[:, groups.member & (groups.labels == 0)].sum(1) == 2).all()
    assert (times.sum(1) == 7).all()


def test_one_false_alarm_in_a_hundred_is_none_below_a_hundred() -> None:
    assert [allowed(count) for count in (3, 99, 100, 250)] == [0, 0, 1, 2]
    member = np.arange(103) < 3
    scores = np.concatenate([[5.0, 5.0, 0.5], [9.0], np.zeros(99)])
    assert found_at(scores, member) == 1.0  # the one patient above them all is the one false alarm
    assert found_at(scores[:-1], member[:-1]) == 0.0


def test_the_order_found_counts_as_one_of_the_permutations() -> None:
    assert p_value(1.0, np.zeros(9)) == pytest.approx(0.1)
    assert p_value(1.0, np.ones(9)) == 1.0


def test_the_share_found_has_an_interval_of_its_own() -> None:
    """Half of twelve are above everybody: of as many drawn, a quarter to three quarters. The area is 3 / 4 at that."""
    groups = _groups(12, 16)
    found = compare(np.where(np.arange(28) < 6, 1.0, 0.0), groups, 0)
    assert (found.auc, found.tpr) == (0.75, 0.5)
    assert (found.tpr_low, found.tpr_high) == pytest.approx((0.25, 0.75), abs=0.09)


def test_of_several_scores_a_patient_is_found_by_the_highest() -> None:
    groups = _groups(10, 12)
    scores = np.zeros((22, 3))
    scores[:10] = -5.0
    scores[np.arange(10), np.arange(10) % 3] = 1.0
    found = compare(scores, groups, 0)
    assert (found.tpr, found.tpr_low) == (1.0, 1.0)
    assert found.auc < 0.5


def test_rounding_tells_nobody_apart() -> None:
    """Means of few equal values and of many differ in the last digit."""
    losses = np.array([np.mean([0.1] * count) for count in [3] * 10 + [1] * 10])
    assert len(np.unique(losses)) == 2
    groups = _groups(10, 10)
    assert area(losses, groups.member) == area(-losses, groups.member) == 0.5
    assert compare(losses, groups, 0).auc == 0.5
    assert area(np.array([1e-9, 2e-9]), np.array([False, True])) == 1, "small differences are differences"
