from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import t

from analysis.stats.seeds import PARTS, intervals, parts


def cells(*rows: tuple[float, int, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["hm", "seeds", *PARTS])


def test_one_seed_everywhere_claims_no_interval():
    assert intervals(cells((0.7, 1, 0.1, 0.0, 0.0), (0.8, 1, 0.1, 0.0, 0.0)), 0.95).isna().all(axis=None)


def test_seeds_that_agree_leave_the_patients_alone():
    found = intervals(cells((0.7, 2, 0.04, -0.1, 1.0)), 0.95).iloc[0]
    assert logit(found.to_numpy()) == pytest.approx(logit(0.7) + 1.959964 * 0.2 * np.array([-1, 1]))


def test_what_seeds_differ_by_is_pooled_over_cells():
    found = intervals(cells((0.7, 2, 0.0, 0.8, 1.0), (0.8, 4, 0.0, 0.4, 3.0)), 0.95)
    reach = t.ppf(0.975, 4) * np.sqrt(0.3 / np.array([2, 4]))
    assert found["interval_low"].tolist() == pytest.approx(expit(logit([0.7, 0.8]) - reach))
    assert found["interval_high"].tolist() == pytest.approx(expit(logit([0.7, 0.8]) + reach))


def test_a_mean_of_one_has_an_interval_that_holds_it():
    found = intervals(cells((1.0, 2, 0.0, 0.0, 1.0), (0.7, 2, 0.1, 1.0, 1.0)), 0.95).iloc[0]
    assert found["interval_low"] < 0.99
    assert found["interval_high"] == 1


def test_a_cell_that_was_not_resampled_has_no_interval():
    found = intervals(cells((0.7, 2, np.nan, np.nan, np.nan), (0.7, 2, 0.1, 1.0, 1.0)), 0.95)
    assert found["interval_low"].isna().tolist() == [True, False]


def test_the_noise_of_resampled_patients_is_taken_off_the_seeds():
    """Runs that differ in which patients they happen to call wrong, and in nothing else."""
    rng = np.random.default_rng(0)
    right = rng.random((400, 60)) < 0.7
    resampled = np.stack([right[:, rng.integers(60, size=60)].mean(axis=1) for _ in range(400)], axis=1)
    found = parts(right.mean(axis=1), resampled, np.repeat(np.arange(200), 2))
    assert abs(found["seeds_squares"].mean()) < 0.02
    assert found["patients_variance"].mean() == pytest.approx(1 / (60 * 2 * 0.21), rel=0.15)
