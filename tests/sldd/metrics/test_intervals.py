"""Intervals from counts, against published examples and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sldd.metrics.intervals import Z, area, difference, share


def test_shares_are_newcombes_examples() -> None:
    # Newcombe (1998), Statistics in Medicine 17:857-872, table I, method 3.
    assert (share(81 / 263, 263).low, share(81 / 263, 263).high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert (share(0, 20).low, share(0, 20).high) == pytest.approx((0, 0.1611), abs=1e-4)


def test_differences_are_newcombes_example() -> None:
    # Newcombe (1998), Statistics in Medicine 17:873-890, table II, method 10: 56/70 less 48/80.
    found = difference(share(56 / 70, 70), share(48 / 80, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(("shift", "positive", "negative"), [(0.5, 20, 30), (2.0, 8, 25)])
def test_an_area_holds_the_truth_as_often_as_it_says(shift: float, positive: int, negative: int) -> None:
    random = np.random.default_rng(0)
    truth = float(norm.cdf(shift / np.sqrt(2)))
    ones = random.standard_normal((1000, positive, 1)) + shift
    found = (ones > random.standard_normal((1000, 1, negative))).mean((1, 2))
    ends = [area(float(value), positive, negative) for value in found]
    held = np.mean([one.low <= truth <= one.high for one in ends])
    assert 0.92 <= held <= 0.99
    assert np.median([one.high - one.low for one in ends]) == pytest.approx(2 * Z * found.std(), rel=0.25)


def test_a_perfect_area_is_not_certain() -> None:
    assert 0.5 < area(1.0, 5, 5).low < 0.75
    assert area(1.0, 5, 5).high == 1.0
    assert area(0.0, 5, 5).high == pytest.approx(1 - area(1.0, 5, 5).low)
    assert area(1.0, 50, 50).low > 0.9
