from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import spearmanr

from analysis.stats.dose_response import LEVEL, STEEPNESS, p_value, relation, smallest_p, summaries

COUNTS = (1, 2, 4)
SIZES = 10.0 ** np.arange(5, 11)
KIN = list("abcdef")


def shapes(level: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """Curves that are lines in logits: (networks, counts)."""
    doses = np.log2(COUNTS) - 1
    return expit(1.0 - np.asarray(level)[:, None] + np.asarray(steepness)[:, None] * doses)


def test_level_and_steepness_are_those_of_the_curves():
    level, steepness = np.array([0.1, 0.5]), np.array([0.3, 0.6])
    scores = shapes(level, steepness)
    assert summaries(scores, COUNTS, expit(np.ones(2))) == pytest.approx(level)
    assert summaries(scores, COUNTS, None) == pytest.approx(steepness)


def test_growth_is_found_with_its_slope_and_an_exact_p():
    level = 0.4 * np.log10(SIZES) - 2
    found = relation(SIZES, shapes(level, np.full(6, 0.3)), COUNTS, np.full(6, expit(1.0)), KIN)
    assert (found.measure, found.networks, found.families, found.counts) == (LEVEL, 6, 6, COUNTS)
    assert found.correlation == 1
    assert found.p == found.smallest_p == pytest.approx(1 / 720)
    assert found.slope == pytest.approx(0.4)
    assert found.low == pytest.approx(0.4)
    assert found.high == pytest.approx(0.4)


def test_without_ordinary_training_the_steepness_is_compared():
    steepness = np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.6])
    found = relation(SIZES, shapes(np.zeros(6), steepness), COUNTS, None, KIN)
    assert found.measure == STEEPNESS
    assert found.correlation == pytest.approx(spearmanr(SIZES, steepness).statistic)
    statistic = spearmanr(SIZES, steepness).statistic
    orders = [spearmanr(SIZES, steepness[list(order)]).statistic for order in permutations(range(6))]
    assert found.p == pytest.approx(np.mean(np.array(orders) >= statistic - 1e-9))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kin", [KIN, list("aabbcc"), list("aaabbb")])
def test_the_interval_leaves_zero_out_exactly_where_p_is_below_a_twentieth(seed, kin):
    rng = np.random.default_rng(seed)
    level = rng.standard_normal(6) + 0.4 * np.log10(SIZES)
    found = relation(SIZES, shapes(level, np.zeros(6)), COUNTS, np.full(6, 0.7), kin)
    assert (found.low > 0) == (found.p <= 0.05)
    assert found.low <= found.slope <= found.high


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kin", [KIN, list("aabbcc"), list("aaabbb")])
def test_levels_turned_round_turn_the_interval_round(seed, kin):
    level = np.random.default_rng(seed).standard_normal(6) + 0.4 * (np.log10(SIZES) - 7.5)
    found, turned = (
        relation(SIZES, shapes(each, np.zeros(6)), COUNTS, np.full(6, 0.7), kin) for each in (level, -level)
    )
    assert turned.correlation == pytest.approx(-found.correlation)
    assert (turned.low, turned.slope, turned.high) == pytest.approx((-found.high, -found.slope, -found.low))


def test_of_a_sample_of_orders_the_one_that_was_seen_is_counted_as_well():
    ranks, others = np.array([-1.0, 0.0, 1.0]), np.array([[2, 1, 0], [1, 0, 2], [0, 2, 1]])
    assert p_value(ranks, ranks, others, exact=False) == 1 / 4
    assert p_value(ranks, ranks, np.array(list(permutations(range(3)))), exact=True) == pytest.approx(1 / 6)


def test_families_kept_together_can_show_less():
    assert smallest_p(SIZES, KIN) == pytest.approx(1 / 720)
    assert smallest_p(SIZES, list("aabbcc")) == pytest.approx(1 / 48)
    assert smallest_p(SIZES, list("aaabbc")) == pytest.approx(1 / 12)
    assert smallest_p(SIZES[:3], list("abc")) == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("sizes", "scores", "counts", "reference"),
    [
        ([], np.empty((0, 2)), (1, 2), None),
        ([5.0], np.full((1, 2), 0.7), (1, 2), np.array([0.8])),
        ([5.0, 5.0], np.array([[0.6, 0.7], [0.5, 0.8]]), (1, 2), np.array([0.8, 0.8])),
        ([5.0, 6.0], np.full((2, 2), 0.7), (1, 2), np.array([0.8, 0.8])),
        ([5.0, 6.0], np.array([[0.6], [0.7]]), (1,), None),
        ([5.0, 6.0], np.empty((2, 0)), (), np.array([0.8, 0.8])),
    ],
)
def test_where_nothing_differs_nothing_is_said(sizes, scores, counts, reference):
    found = relation(np.array(sizes), scores, counts, reference, ["a"] * len(sizes))
    assert found.correlation is None
    assert found.p is None


def test_scores_of_zero_and_one_are_read():
    found = relation(SIZES, np.array([[1.0, 1.0, 1.0]] * 3 + [[0.0, 0.0, 0.0]] * 3), COUNTS, np.ones(6), KIN)
    assert found.p == pytest.approx(36 / 720)


@pytest.mark.parametrize("kin", ["aabbcde", "aabbcd", "aabbc"])
def test_interval_and_p_agree_where_families_of_unequal_size_are_kept_together(kin):
    rng = np.random.default_rng(1)
    for _ in range(80):
        sizes = 10 ** (6.5 + 0.7 * rng.standard_normal(len(kin)))
        level = rng.standard_normal(len(kin)) + rng.choice([0, 1, 2]) * np.log10(sizes / 10**6.5)
        found = relation(sizes, expit(1 - level)[:, None], (1,), np.full(len(kin), 0.8), list(kin))
        assert (found.low > 0) == (found.p <= 0.05)
        assert found.low <= found.slope <= found.high


@pytest.mark.parametrize("counts", [(1, 2, 3), (1, 2, 3, 5), (1, 3, 5)])
@pytest.mark.parametrize("trained", [False, True])
def test_flat_curves_are_not_ranked_by_rounding(counts: tuple[int, ...], trained: bool):
    levels = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    scores = np.repeat(levels[:, None], len(counts), axis=1)
    found = relation(np.geomspace(1e5, 3e7, 6), scores, counts, levels if trained else None, list("abcdef"))
    assert found.p is None
    assert found.slope is None
