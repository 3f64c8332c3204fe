from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import t

from analysis.records.bootstrap import generator, hms, resample
from analysis.stats.seeds import PARTS, _lent, intervals, parts, shortfalls


def cells(*rows: tuple[float, int, float, float, float]) -> pd.DataFrame:
    """Cells whose runs differ by their seeds alone."""
    found = pd.DataFrame(rows, columns=["hm", "seeds", "patients_variance", "seeds_squares", "seeds_freedom"])
    found = found.assign(runs_squares=found["seeds_squares"].clip(lower=0), nearest=0.01)
    return found[["hm", "seeds", *PARTS[:4], "nearest"]]


def test_one_seed_everywhere_claims_no_interval():
    assert intervals(cells((0.7, 1, 0.1, 0.0, 0.0), (0.8, 1, 0.1, 0.0, 0.0)), 0.95).isna().all(axis=None)


def test_seeds_that_agree_leave_the_patients_alone():
    found = intervals(cells((0.7, 2, 0.04, -0.1, 1.0)), 0.95).iloc[0]
    assert logit(found[["interval_low", "interval_high"]].to_numpy()) == pytest.approx(
        logit(0.7) + 1.959964 * 0.2 * np.array([-1, 1])
    )


def test_what_seeds_differ_by_is_pooled_over_cells():
    found = intervals(cells((0.7, 2, 0.0, 0.8, 1.0), (0.8, 4, 0.0, 0.4, 3.0)), 0.95)
    reach = t.ppf(0.975, 4) * np.sqrt(0.3 / np.array([2, 4]))
    assert found["interval_low"].tolist() == pytest.approx(expit(logit([0.7, 0.8]) - reach))
    assert found["interval_high"].tolist() == pytest.approx(expit(logit([0.7, 0.8]) + reach))


def test_patients_share_taken_off_leaves_no_more_degrees_of_freedom_than_were_seen():
    """What is known of the variance is known by four runs, however little of it is the seeds'."""
    found = intervals(cells((0.7, 2, 0.1, 0.0, 2.0), (0.7, 2, 0.1, 0.0, 2.0)).assign(runs_squares=0.4), 0.95)
    seen = 0.4 * 2 / 4 / 2  # variance of the mean, as the runs were seen to differ
    reach = t.ppf(0.975, 4 * (0.1 / seen) ** 2) * np.sqrt(0.1)
    assert found["interval_low"].tolist() == pytest.approx([expit(logit(0.7) - reach)] * 2)


def groups(*spreads: tuple[float, int]) -> pd.DataFrame:
    """Cells of HM 0.9 with two seeds, so many of each variance between seeds, a group of each."""
    rows = [cells((0.9, 2, 0.0, variance, 1.0)).assign(group=group) for group, (variance, _) in enumerate(spreads)]
    return pd.concat(
        [row for row, (_, many) in zip(rows, spreads, strict=True) for _ in range(many)], ignore_index=True
    )


def test_groups_that_are_alike_are_one_pool():
    apart, together = groups((0.2, 6), (0.3, 6)), groups((0.2, 6), (0.3, 6)).drop(columns="group")
    pd.testing.assert_frame_equal(intervals(apart, 0.95), intervals(together, 0.95))


def test_groups_that_differ_by_chance_alone_are_one_pool_and_others_are_not():
    drawn, freedom = np.random.default_rng(0).chisquare(4, (100, 6)) / 4, np.full(6, 4.0)
    assert sum(_lent(seen, freedom)[0] > 0 for seen in drawn) <= 5
    lent, variance = _lent(np.array([1.0, 0.2]), np.array([20.0, 20.0]))
    assert lent > 0
    assert 0.2 < variance < 0.6, "nearer to the steadier one than the pool is"


def test_what_groups_lend_is_without_what_patients_add():
    """Of the variance that is seen 0.05 is the runs' own luck; a group without second seeds has what is lent alone."""
    pool, alone = groups((7.0, 6), (0.1, 6)), cells((0.9, 1, 0.0, 0.0, 0.0)).assign(group=2)
    lent, seen = _lent(np.array([7.0, 0.1]), np.array([6.0, 6.0]))
    found = intervals(pd.concat([pool.assign(seeds_squares=pool["seeds_squares"] - 0.05), alone]), 0.95).iloc[-1]
    reach = t.ppf(0.975, lent * ((seen - 0.05) / seen) ** 2) * np.sqrt(seen - 0.05)
    assert found["interval_low"] == pytest.approx(expit(logit(0.9) - reach))


def test_a_group_whose_runs_fail_does_not_make_the_others_unsure():
    """One image, where half of the runs call all patients alike, beside groups of two and three."""
    found = intervals(groups((7.0, 6), (0.1, 6), (0.1, 6)), 0.95)
    pooled = intervals(groups((7.0, 6), (0.1, 6), (0.1, 6)).drop(columns="group"), 0.95)
    width = (found["interval_high"] - found["interval_low"]).groupby(np.repeat([0, 1, 2], 6)).first()
    assert width[0] > (pooled["interval_high"] - pooled["interval_low"])[0]
    alone = intervals(groups((0.1, 12)), 0.95)
    assert width[1] == pytest.approx((alone["interval_high"] - alone["interval_low"])[0], rel=0.6)
    assert width[1] < 0.4 * (pooled["interval_high"] - pooled["interval_low"])[0]


def test_a_group_without_second_seeds_takes_what_all_lend_it():
    found = intervals(pd.concat([groups((7.0, 6), (0.1, 6)), cells((0.9, 1, 0.0, 0.0, 0.0)).assign(group=2)]), 0.95)
    widths = (found["interval_high"] - found["interval_low"]).tolist()
    assert widths[6] < widths[-1]
    assert np.isfinite(widths[-1])


def test_seeds_that_all_agree_in_one_group_are_no_error():
    found = intervals(groups((0.0, 3), (0.1, 3), (0.2, 3)), 0.95)
    assert found.notna().all(axis=None)
    assert (found["interval_low"] < 0.9).all()


def test_a_mean_of_one_has_an_interval_that_holds_it():
    found = intervals(cells((1.0, 2, 0.0, 0.0, 1.0), (0.7, 2, 0.1, 1.0, 1.0)), 0.95).iloc[0]
    assert found["interval_low"] < 0.99
    assert found["interval_high"] == 1


@pytest.mark.parametrize(("patients", "least", "most"), [(6, 0.3, 0.7), (20, 0.6, 0.85), (200, 0.96, 0.99)])
def test_patients_who_are_all_called_right_leave_the_next_ones_open(patients: int, least: float, most: float) -> None:
    """As wide as the interval of a share of so many is (Wilson: 0.61, 0.84, 0.98), or wider."""
    right = np.ones((3, patients))
    found = parts(right.mean(axis=1), np.ones((3, 50)), np.ones(3), patients).assign(hm=1.0, seeds=3)
    assert least < intervals(found, 0.95)["interval_low"].item() < most


def test_a_cell_that_was_not_resampled_has_no_interval():
    found = intervals(cells((0.7, 2, np.nan, np.nan, np.nan), (0.7, 2, 0.1, 1.0, 1.0)), 0.95)
    assert found["interval_low"].isna().tolist() == [True, False]


def test_the_noise_of_resampled_patients_is_taken_off_the_seeds():
    """Runs that differ in which patients they happen to call wrong, and in nothing else."""
    rng = np.random.default_rng(0)
    right = rng.random((400, 60)) < 0.7
    resampled = np.stack([right[:, rng.integers(60, size=60)].mean(axis=1) for _ in range(400)], axis=1)
    found = parts(right.mean(axis=1), resampled, np.repeat(np.arange(200), 2), patients=60)
    assert abs(found["seeds_squares"].mean()) < 0.02
    assert found["patients_variance"].mean() == pytest.approx(1 / (60 * 2 * 0.21), rel=0.15)


def beside(trained: np.ndarray, images: np.ndarray, labels: np.ndarray) -> pd.Series:
    """The shortfall of two runs with images beside two of ordinary training; all are calls (2, patients)."""
    calls = np.concatenate([trained, images])
    scores, counts = hms(calls, labels), np.array([0, 0, 1, 1])
    rows = parts(scores, resample(calls, labels, 2000, generator(0)), counts, len(labels))
    rows = rows.assign(hm=[scores[:2].mean(), scores[2:].mean()], seeds=2)
    rows = rows.join(intervals(rows, 0.95))
    return shortfalls(rows[1:].reset_index(drop=True), rows[:1]).iloc[0]


def test_pairing_is_what_makes_small_differences_visible():
    labels, rng = np.arange(200) % 2 == 0, np.random.default_rng(1)
    better = (rng.random(200) < 0.7) == labels
    worse = better ^ (np.arange(200) < 6)  # six calls apart, the same otherwise
    same = beside(np.tile(better, (2, 1)), np.tile(worse, (2, 1)), labels)
    others = beside(np.tile(rng.permutation(better == labels) == labels, (2, 1)), np.tile(worse, (2, 1)), labels)
    assert same["shortfall_low"] < same["shortfall"] < same["shortfall_high"]
    assert same["shortfall_high"] - same["shortfall_low"] < 0.5 * (others["shortfall_high"] - others["shortfall_low"])


def test_the_interval_of_a_shortfall_is_put_together_from_the_two():
    each = pd.DataFrame({"hm": [0.8], "interval_low": [0.6], "interval_high": [0.9], "variance": [0.25]})
    trained = pd.DataFrame({"hm": [0.9], "interval_low": [0.8], "interval_high": [0.95], "variance": [1.0]})
    for covariance, correlation in ((0.0, 0.0), (0.2, 0.4), (np.nan, None)):
        found = shortfalls(each.assign(patients_covariance=covariance), trained).iloc[0]
        assert found["shortfall"] == pytest.approx(0.1)
        if correlation is None:
            assert np.isnan(found["shortfall_high"])
            continue
        reach = (0.05**2 + 0.2**2 - 2 * correlation * 0.05 * 0.2) ** 0.5
        assert found["shortfall_high"] == pytest.approx(0.1 + reach)
        reach = (0.1**2 + 0.1**2 - 2 * correlation * 0.1 * 0.1) ** 0.5
        assert found["shortfall_low"] == pytest.approx(0.1 - reach)


def test_a_score_that_is_known_for_sure_leaves_the_other_its_interval():
    each = pd.DataFrame({"hm": [0.8], "interval_low": [0.6], "interval_high": [0.9], "variance": [0.25]})
    sure = pd.DataFrame({"hm": [1.0], "interval_low": [1.0], "interval_high": [1.0], "variance": [0.0]})
    found = shortfalls(each.assign(patients_covariance=0.0), sure).iloc[0]
    assert found[["shortfall_low", "shortfall_high"]].tolist() == pytest.approx([0.1, 0.4])
