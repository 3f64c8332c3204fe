from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.stats.ranks import block_orders
from analysis.stats.ranks.block_orders import all_orders, orders_count, sampled_orders
from analysis.stats.ranks.rank_tests import kendall, spearman

FAMILIES = ("a", "b", "a", "c", "b")


def kept(families: tuple[str, ...], order: tuple[int, ...]) -> bool:
    """Whether an order takes whole families to whole families: by the definition."""
    n = range(len(families))
    return all((families[i] == families[j]) == (families[order[i]] == families[order[j]]) for i in n for j in n)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=6).map(tuple))
def test_the_orders_are_those_that_keep_families_together(families):
    expected = {order for order in permutations(range(len(families))) if kept(families, order)}
    orders, exact = block_orders.block_orders(families)
    assert exact
    assert set(map(tuple, orders.tolist())) == expected
    assert len(orders) == len(expected) == orders_count(families)


def test_sampled_orders_are_evenly_so():
    orders = sampled_orders(FAMILIES, 8_000, np.random.default_rng(1))
    found, times = np.unique(orders, axis=0, return_counts=True)
    assert len(found) == orders_count(FAMILIES) == 8
    assert times == pytest.approx(1_000, abs=150)


@pytest.mark.parametrize(("families", "free"), [("abc", True), ("aaa", True), ("aab", False), ("", True)])
def test_families_keep_orders_out_only_where_some_networks_have_kin_and_others_not(families, free):
    assert all_orders(tuple(families)) is free


@pytest.mark.parametrize("test", [spearman, kendall])
def test_p_values_count_the_orders_that_keep_families(test):
    sizes, minima = [1, 2, 3, 4, 5], [1, 2, 1, 3, 4]
    found = test(sizes, minima, minima, FAMILIES)
    values = {
        order: test(sizes, [minima[i] for i in order], [minima[i] for i in order]).value
        for order in permutations(range(5))
        if kept(FAMILIES, order)
    }
    at_least = sum(value >= found.value - 1e-12 for value in values.values())
    assert found.p == Fraction(at_least, len(values))
    middle = sum(values.values()) / len(values)  # families stay together, so that it need not be zero
    assert abs(middle) > 0.1
    as_far = sum(abs(value - middle) >= abs(found.value - middle) - 1e-12 for value in values.values())
    assert found.p_two_sided == Fraction(as_far, len(values))
    assert found.p >= found.smallest_p >= Fraction(1, 8)
    assert test(sizes, minima, minima, tuple("abcde")) == test(sizes, minima, minima)


def test_families_alike_do_not_pass_for_a_relation():
    # Two families of four, the larger networks need more: eight points, but two cases.
    sizes, minima = range(1, 9), [1] * 4 + [2] * 4
    assert spearman(sizes, minima, minima).p == Fraction(1, 70)
    assert spearman(sizes, minima, minima, tuple("aaaabbbb")).p == Fraction(1, 2)


def test_many_orders_are_sampled_and_say_so():
    families = tuple("aaaabbbbccccdddd")
    found = spearman(range(1, 17), range(1, 17), range(1, 17), families)
    assert not found.exact
    assert found.p == Fraction(1, block_orders.SAMPLES + 1)


def test_orders_are_looked_at_a_few_at_a_time():
    families = [name for name in "abcdefghij" for _ in range(3)]
    seen: list[int] = []

    def statistic(orders: np.ndarray) -> np.ndarray:
        seen.append(len(orders))
        return orders @ np.arange(30)

    null = block_orders.block_null(families, statistic)
    assert null.orders == sum(seen) == block_orders.SAMPLES
    assert max(seen) * 30**2 <= 4_000_000, "a statistic of pairs fits in memory"
    values, times = np.unique(statistic(block_orders.block_orders(tuple(families))[0]), return_counts=True)
    assert null.ways == dict(zip(values.tolist(), times.tolist(), strict=True))
