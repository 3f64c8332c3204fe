from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.stats.power import BACKBONES, PUBLISHED_SHARES, level_counts, level_shares, needed, power, power_table


@given(st.integers(1, 60), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_level_counts_are_the_shares_to_within_one_backbone(backbones, shares):
    counts = level_counts(backbones, shares)
    assert sum(counts) == backbones
    assert (abs(np.array(counts) - backbones * np.array(shares) / sum(shares)) < 1).all()


def test_six_backbones_at_the_published_levels_can_never_show_it():
    # Of 15 orders the best alone has p = 1/15; seven backbones, five and two, have 1/21.
    assert level_counts(6, PUBLISHED_SHARES) == (4, 2)
    assert power(6, 0.99) == 0
    assert power(7, 0.99) > 0


@pytest.mark.parametrize("backbones", [9, 12, 20])
def test_without_a_correlation_the_test_rejects_as_often_as_it_may(backbones):
    # Every choice of places for the upper level is equally likely: list them all.
    ones, twos = level_counts(backbones, PUBLISHED_SHARES)
    sums = np.array([sum(places) for places in combinations(range(ones + twos), twos)])
    allowed = [total for total in set(sums.tolist()) if (sums >= total).mean() <= 0.05]
    size = (sums >= min(allowed)).mean()
    assert size <= 0.05
    assert power(backbones, 0.0) == pytest.approx(size, abs=4 * np.sqrt(size / 2000))


def test_power_grows_with_the_correlation_and_in_the_long_run_with_the_backbones():
    table = power_table().pivot(index="backbones", columns="correlation", values="power")
    assert tuple(table.index) == BACKBONES
    assert (table.loc[8:].diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert table[0.7].is_monotonic_increasing
    # Measured with 2,000 simulations, standard error at most 0.011.
    assert table[0.7].round(2).tolist() == pytest.approx([0, 0.44, 0.49, 0.64, 0.82, 0.92, 0.94, 0.99], abs=0.02)


def test_how_many_backbones_are_needed():
    assert (needed(0.9), needed(0.7), needed(0.5)) == (8, 15, 35)
    assert needed(0.0) is None
    assert needed(0.7, (1, 1, 1, 1, 1, 1)) == 10  # more levels, fewer ties


def test_a_perfect_correlation_is_found_as_soon_as_any_order_could_show_it():
    assert [power(n, 1.0, (1, 1, 1, 1)) for n in (3, 4, 8)] == [0, 1, 1]
    assert power(20, 1.0, (1,)) == 0


def test_levels_come_from_the_study_once_it_has_two():
    assert level_shares([1, 1, 2], [1, 1, 2]) == (2, 1)
    assert level_shares([1, 2, 4, 4], [1, 3, np.inf, np.inf]) == (1, 1, 2)
    assert level_shares([2, 2], [2, 2]) == level_shares([], []) == PUBLISHED_SHARES
