from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, permutation_test, rankdata, spearmanr

from analysis.stats.ranks import permutation
from analysis.stats.ranks.rank_tests import RankTest, checked, comparisons, kendall, scores, spearman

TESTS = [spearman, kendall]
INF = np.inf
PUBLISHED = ([5_984_915, 11_176_963, 21_285_123, 57_000_643, 134_271_683, 139_581_379], [1, 1, 1, 1, 2, 2])

intervals = st.tuples(st.integers(1, 4), st.sampled_from([0, 0, 1, 2, INF])).map(lambda pair: (pair[0], sum(pair)))
points = st.lists(st.tuples(st.integers(1, 5), intervals), min_size=2, max_size=6)
known = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=3, max_size=12)


def columns(drawn: list) -> tuple[list[int], list[float], list[float]]:
    return [size for size, _ in drawn], [low for _, (low, _) in drawn], [high for _, (_, high) in drawn]


def statistic(test, sizes, low, high) -> float:
    """The definition, without any of the counting: for one order of the intervals."""
    pairs = [(i, j) for i in range(len(sizes)) for j in range(len(sizes))]
    compared = {(i, j): (low[i] > high[j]) - (low[j] > high[i]) for i, j in pairs}
    if test is kendall:
        return sum(compared[i, j] for i, j in pairs if sizes[i] > sizes[j])
    ranks = rankdata(sizes)
    return sum(ranks[i] * compared[i, j] for i, j in pairs)


@pytest.mark.parametrize("test", TESTS)
@given(drawn=points)
@settings(max_examples=20, deadline=None)
def test_p_values_agree_with_listing_every_order(test, drawn):
    sizes, low, high = columns(drawn)
    found = test(sizes, low, high)
    assume(found.value is not None)
    orders = permutations(range(len(sizes)))
    every = np.array([statistic(test, sizes, [low[i] for i in o], [high[i] for i in o]) for o in orders])
    observed = statistic(test, sizes, low, high)
    assert found.p == Fraction(int((every >= observed).sum()), len(every))
    assert found.p_two_sided == Fraction(int((abs(every) >= abs(observed)).sum()), len(every))
    assert found.smallest_p == Fraction(int((every == every.max()).sum()), len(every))


@given(drawn=known)
@settings(max_examples=40, deadline=None)
def test_known_minima_give_scipys_rho_and_tau_b(drawn):
    sizes, minima = zip(*drawn, strict=True)
    assume(len(set(sizes)) > 1 and len(set(minima)) > 1)
    assert spearman(sizes, minima, minima).value == pytest.approx(spearmanr(sizes, minima).statistic)
    assert kendall(sizes, minima, minima).value == pytest.approx(kendalltau(sizes, minima).statistic)


def test_p_values_are_scipys_without_ties():
    rng = np.random.default_rng(1)
    sizes, minima = rng.permutation(7) + 1, rng.permutation(7) + 1
    found = kendall(sizes, minima, minima)
    for alternative, p in (("greater", found.p), ("two-sided", found.p_two_sided)):
        assert float(p) == pytest.approx(kendalltau(sizes, minima, method="exact", alternative=alternative).pvalue)
    scipys = permutation_test(
        (minima,), lambda y: sizes @ y, permutation_type="pairings", alternative="greater", n_resamples=INF
    )
    assert float(spearman(sizes, minima, minima).p) == pytest.approx(scipys.pvalue)


@pytest.mark.parametrize("test", TESTS)
def test_the_published_points_have_an_exact_p_of_one_in_fifteen(test):
    sizes, minima = PUBLISHED
    found = test(sizes, minima, minima)
    assert found.p == found.smallest_p == Fraction(1, 15)
    assert found.p_two_sided == Fraction(2, 15)
    assert found.exact


def test_intervals_compare_only_where_every_whole_number_in_one_is_above_the_other():
    low, high = np.array([1.0, 2, 2, 3, 2]), np.array([1.0, 2, 3, INF, INF])
    assert comparisons(low, high).tolist() == [
        [0, -1, -1, -1, -1],
        [1, 0, 0, -1, 0],  # 2 is below "3 or more"; against 2 to 3, and 2 or more, it may be equal
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],  # two backbones censored at different counts: nobody knows
        [1, 0, 0, 0, 0],
    ]
    assert scores(low, high).tolist() == [-4, 0, 1, 2, 1]


@pytest.mark.parametrize("test", TESTS)
def test_a_backbone_no_count_suffices_for_adds_evidence(test):
    sizes, low = [10, 20, 30, 40, 50], [1, 1, 2, 4, 4]
    without = test(sizes[:3], low[:3], [1, 1, 2])
    assert test(sizes, low, [1, 1, 2, INF, INF]).p < without.p == Fraction(1, 3)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize(
    ("sizes", "low", "high"),
    [
        ([], [], []),
        ([5], [1], [1]),
        ([5, 5], [1, 2], [1, 2]),
        ([5, 6, 7], [2, 2, 2], [2, 2, 2]),
        ([5, 6, 7], [4, 5, 6], [INF] * 3),
    ],
)
def test_nothing_is_said_where_no_two_points_can_be_ordered(test, sizes, low, high):
    assert test(sizes, low, high) == RankTest(len(sizes))


@pytest.mark.parametrize("test", TESTS)
def test_thirty_backbones_with_three_minima_and_one_bound_are_counted_exactly(test):
    low = np.repeat([1, 2, 3, 4], [12, 9, 5, 4])
    high = np.where(low == 4, INF, low)
    found = test(np.arange(1, 31), low, high)
    assert found.exact
    assert found.p == found.smallest_p == Fraction(1, comb(30, 12) * comb(18, 9) * comb(9, 5))


@pytest.mark.parametrize("test", TESTS)
def test_too_many_orders_are_sampled_and_say_so(test, monkeypatch):
    rng = np.random.default_rng(3)
    sizes, low = np.arange(1, 11), rng.integers(1, 6, 10)
    high = np.where(low > 4, INF, low)
    exact = test(sizes, low, high)
    monkeypatch.setattr(permutation, "MOST_WORK", 0)
    sampled = test(sizes, low, high)
    assert exact.exact
    assert not sampled.exact
    assert sampled.smallest_p is None
    assert sampled.value == exact.value
    assert sampled.p.denominator == 1 or (permutation.SAMPLES + 1) % sampled.p.denominator == 0
    assert float(sampled.p) == pytest.approx(float(exact.p), abs=0.01)
    assert float(sampled.p_two_sided) == pytest.approx(float(exact.p_two_sided), abs=0.01)
    assert sampled == test(sizes, low, high)


def test_a_sampled_p_is_never_zero():
    sizes = np.arange(1, 41)
    assert spearman(sizes, sizes, sizes).p == Fraction(1, permutation.SAMPLES + 1)


@pytest.mark.parametrize(
    ("sizes", "low", "high", "said"),
    [
        ([1, 2], [1], [1], "one length"),
        ([0], [1], [1], "positive and finite"),
        ([np.nan], [1], [1], "positive and finite"),
        ([5], [0], [1], "whole images"),
        ([5], [2], [1], "whole images"),
        ([5], [1.5], [2], "whole images"),
        ([5], [1], [np.nan], "whole images"),
        ([5], [INF], [INF], "whole images"),
    ],
)
def test_points_that_make_no_sense_are_refused(sizes, low, high, said):
    with pytest.raises(ValueError, match=said):
        checked(sizes, low, high)
