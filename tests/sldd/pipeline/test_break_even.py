"""Break-even count of a package against training alone."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.pipeline.break_even import break_even


def _of(*values: float) -> np.ndarray:
    return np.array(values)


def test_the_count_lies_where_the_curves_cross() -> None:
    received, alone = _of(0.8, 0.8, 0.7), [(10, _of(0.7, 0.8, 0.75)), (20, _of(0.9, 0.85, 0.9))]
    seen, low, high = break_even(received, alone)
    assert seen == pytest.approx(15)  # half way from 0.7 to 0.9
    assert low == pytest.approx(8)  # 0.7 on the way from chance to 0.75
    assert high == pytest.approx(10)
    assert break_even(_of(0.95, 0.95), [(10, _of(0.7, 0.96))])[0] is None
    assert break_even(received, []) == (None, None, None)


def test_draws_without_an_auc_say_nothing() -> None:
    received, alone = _of(0.8, 0.8, 0.7), [(10, _of(0.7, 0.8, 0.75)), (20, _of(0.9, 0.85, 0.9))]
    unknown = np.full(30, np.nan)
    drawn = [(count, np.concatenate([aucs, unknown])) for count, aucs in alone]
    assert break_even(np.concatenate([received, unknown]), drawn) == break_even(received, alone)


def test_a_mean_of_equal_scores_reaches_that_score() -> None:
    """(0.7 + 0.7 + 0.7) / 3 is less in the last digit."""
    mean = (0.7 + 0.7 + 0.7) / 3
    assert mean < 0.7
    assert break_even(_of(0.7, 0.7, 0.7), [(5, _of(mean, mean, mean))]) == (5, 5, 5)
