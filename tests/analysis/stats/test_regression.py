from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, t

from analysis.stats.regression import Priors, growth

INF = np.inf
SIZES = [5_984_915, 11_176_963, 21_285_123, 57_000_643, 134_271_683, 139_581_379]
MINIMA = [1, 1, 1, 1, 2, 2]
TRIED = np.array([1, 2, 3, 5, 10, 20, 50])


def observed(needs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on each minimum if only the counts TRIED are: the next one that suffices, and what the last ruled out."""
    place = np.searchsorted(TRIED, np.ceil(needs).clip(1))
    return np.append(1, TRIED + 1)[place], np.append(TRIED, INF)[place]


def test_the_published_points_are_separated_and_still_give_a_finite_slope():
    # Measured on a grid of 161 x 321 x 97 points: 2.640, 0.434, 7.259, 0.993.
    found = growth(SIZES, MINIMA, MINIMA)
    assert (found.slope, found.low, found.high) == pytest.approx((2.64, 0.43, 7.26), abs=0.02)
    assert found.growing == pytest.approx(0.993, abs=0.002)


@pytest.mark.parametrize(
    ("priors", "slope", "low", "high"),
    [
        (Priors().scaled(0.5), 1.57, 0.26, 4.0),
        (Priors().scaled(2), 4.5, 0.69, 13.6),
        (Priors(slope=1.25), 1.58, 0.09, 4.3),
        (Priors(slope=5), 4.0, 0.73, 11.4),
        (Priors(spread=0.5), 2.6, 0.54, 7.2),
        (Priors(spread=2), 2.6, 0.21, 7.3),
    ],
)
def test_how_steep_the_published_points_are_hangs_on_the_priors_that_they_rise_does_not(priors, slope, low, high):
    found = growth(SIZES, MINIMA, MINIMA, priors)
    assert (found.slope, found.low, found.high) == pytest.approx((slope, low, high), abs=0.1)
    assert found.growing > 0.97


def test_networks_of_a_family_are_hardly_more_than_one_case():
    alone = growth(SIZES, MINIMA, MINIMA)
    # Networks of their own families are as before, to the digit.
    assert growth(SIZES, MINIMA, MINIMA, families=list("abcdef")).low == alone.low
    kin = growth(SIZES, MINIMA, MINIMA, families=["googlenet", "resnet", "resnet", "alexnet", "vgg", "vgg"])
    assert (kin.slope, kin.low, kin.high) == pytest.approx((2.57, 0.13, 7.23), abs=0.02)
    assert kin.growing < alone.growing


def test_many_known_counts_give_least_squares():
    rng = np.random.default_rng(5)
    x = np.linspace(6, 9, 30)
    minima = np.ceil(2 ** (10 + 1.2 * (x - 7.5) + 0.6 * rng.normal(size=30)))
    found, line = growth(10**x, minima, minima), linregress(x, np.log2(minima))
    half = t.ppf(0.975, 28) * line.stderr
    assert found.slope == pytest.approx(line.slope, abs=0.01)
    assert (found.low, found.high) == pytest.approx((line.slope - half, line.slope + half), abs=0.02)


def test_intervals_cover_the_slope_they_were_simulated_with():
    # By hand, on a coarser grid: 291 of 300 studies of 12 backbones were covered, 286 of 300 of 40 (95 %).
    covered = 0
    for seed in range(6):
        rng = np.random.default_rng(1000 + seed)
        x = rng.uniform(6, 9, 12)
        found = growth(10**x, *observed(2 ** (1.5 + (x - 7.5) + 0.7 * rng.normal(size=12))))
        covered += found.low <= 1 <= found.high
    assert covered >= 5


@pytest.mark.parametrize(
    ("sizes", "low", "high"),
    [
        ([1e6, 1e8], [1, 1], [1, 1]),
        ([1e6, 1e8], [1, 4], [1, 4]),
        ([1e6, 1e8], [1, 4], [1, INF]),
        ([1e7, 1.01e7], [1, 64], [1, 64]),
        (SIZES, [2] * 6, [2] * 6),
        (SIZES, [4] * 6, [INF] * 6),
        (SIZES, [1, 1, 1, 1, 4, 4], [1, 1, 1, 1, INF, INF]),
        (SIZES, [1, 10, 100, 1000, 10_000, 100_000], [1, 10, 100, 1000, 10_000, 100_000]),
    ],
)
def test_what_has_no_maximum_likelihood_has_a_finite_posterior(sizes, low, high):
    found = growth(sizes, low, high)
    assert -INF < found.low < found.slope < found.high < INF
    assert 0 < found.growing < 1
    drawn = found.predict([1e4, 1e7, 1e12]).to_numpy()
    assert np.isfinite(drawn).all()
    assert (drawn[:, 1:] >= 1).all()


@pytest.mark.parametrize(
    ("sizes", "low", "high"),
    [([], [], []), ([1e6], [2], [2]), ([1e6, 1e6], [1, 2], [1, 2]), ([1e6, 1e7], [1, 1], [1, INF])],
)
def test_one_size_says_nothing_about_growth(sizes, low, high):
    assert growth(sizes, low, high) is None


def test_two_equal_minima_leave_growth_and_its_contrary_alike():
    found = growth([1e6, 1e8], [1, 1], [1, 1])
    assert found.slope == pytest.approx(0, abs=0.05)
    assert found.growing == pytest.approx(0.5, abs=0.01)
    assert found.high - found.low > 5


def test_a_network_that_never_works_counts_for_growth():
    without = growth(SIZES[:4], [1, 1, 1, 2], [1, 1, 1, 2])
    censored = growth(SIZES, [1, 1, 1, 2, 4, 4], [1, 1, 1, 2, INF, INF])
    assert censored.slope > without.slope + 0.5
    assert censored.growing > without.growing


@given(st.lists(st.tuples(st.floats(6, 9), st.integers(1, 9), st.sampled_from([0, 1, 5, INF])), min_size=2, max_size=5))
@settings(max_examples=6, deadline=None)
def test_mirrored_sizes_mirror_the_slope(drawn):
    exponent, low, more = (np.array(column) for column in zip(*drawn, strict=True))
    found, mirrored = (growth(10**x, low, low + more) for x in (exponent, 15 - exponent))
    assert (found is None) == (mirrored is None)
    if found is not None:
        assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=0.05, rel=0.02)


def test_predictions_are_whole_images_that_hold_the_points():
    drawn = growth(SIZES, MINIMA, MINIMA).predict(SIZES)
    assert drawn.columns.tolist() == ["parameters", "images", "low", "high"]
    assert (drawn == drawn.round()).all(axis=None)
    assert (drawn["low"] <= MINIMA).all()
    assert (drawn["high"] >= MINIMA).all()
    assert drawn["images"].is_monotonic_increasing
