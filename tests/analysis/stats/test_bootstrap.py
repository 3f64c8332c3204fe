from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.records.runs import harmonic_mean
from analysis.stats.bootstrap import bootstrap, generator, over_seeds, resample, shortfalls

RULE = {"level": 0.95, "resamples": 2000}


def hm(calls: np.ndarray, labels: np.ndarray) -> float:
    """Of one run, patient by patient, as an independent reckoning."""
    sensitivity, specificity = (float(np.mean([call == kind for call in calls[labels == kind]])) for kind in (1, 0))
    return 2 * sensitivity * specificity / total if (total := sensitivity + specificity) else 0.0


def cohort(patients: int, skills: dict[int, float], seeds: int, name: object = 0) -> tuple[np.ndarray, ...]:
    """Calls, labels, images, seeds: a third of the patients positive, each call right with the count's probability."""
    rng = generator("cohort", name)
    labels = np.arange(patients) % 3 == 0
    images = np.repeat(list(skills), seeds)
    right = rng.random((len(images), patients)) < np.repeat(list(skills.values()), seeds)[:, None]
    return right == labels, labels, images, np.tile(np.arange(seeds), len(skills))


@pytest.mark.parametrize("second", [(1, 2), (3, 4)], ids=["same seeds, drawn together", "other seeds, drawn apart"])
def test_resamples_come_up_as_often_as_enumeration_says(second):
    labels = np.array([True, True, False, False])
    calls = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]]) == 1
    images, seeds = np.array([1, 1, 2, 2]), np.array([1, 2, *second])
    expected: dict[tuple[float, ...], float] = {}
    runs = list(product((0, 1), repeat=2))
    pairs = [(each, each) for each in runs] if second == (1, 2) else list(product(runs, repeat=2))
    for (first, last), positive, negative in product(pairs, product((0, 1), repeat=2), product((2, 3), repeat=2)):
        drawn = [*positive, *negative]
        scores = [hm(run[drawn], labels[drawn]) for run in calls]
        found = (np.mean([scores[seed] for seed in first]), np.mean([scores[2 + seed] for seed in last]))
        outcome = tuple(np.round(found, 9).tolist())
        expected[outcome] = expected.get(outcome, 0) + 1 / (16 * len(pairs))
    resamples = 40_000
    rng = generator(1)
    found = np.round(over_seeds(resample(calls, labels, resamples, rng), images, seeds, rng), 9)
    outcomes, times = np.unique(found, axis=1, return_counts=True)
    observed = dict(zip(map(tuple, outcomes.T.tolist()), times / resamples, strict=True))
    assert observed.keys() == expected.keys()
    for outcome, share in expected.items():
        assert observed[outcome] == pytest.approx(share, abs=5 * np.sqrt(share / resamples))


def test_bounds_agree_with_scipys_bootstrap():
    calls, labels, images, seeds = cohort(300, {1: 0.7, 2: 0.8, 3: 0.82}, 1)
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)

    def each_hm(sick: np.ndarray, healthy: np.ndarray) -> np.ndarray:
        return harmonic_mean(calls[:, sick].mean(axis=-1), (~calls[:, healthy]).mean(axis=-1))

    def scipys(statistic, level: float) -> np.ndarray:
        # Two samples drawn apart are the two labels; what is drawn are patients, the same for every count.
        data, rng = (positive, negative), np.random.default_rng(5)
        found = stats.bootstrap(
            data, statistic, n_resamples=4000, confidence_level=level, method="percentile", vectorized=False, rng=rng
        )
        return np.array(found.confidence_interval)

    found = bootstrap(calls, labels, images, seeds, level=0.95, resamples=4000, rng=generator(2))
    resampled = resample(calls, labels, 4000, generator(2))
    for place in range(3):
        interval = scipys(lambda sick, healthy, place=place: each_hm(sick, healthy)[place], 0.95)
        assert np.quantile(resampled[place], (0.025, 0.975)) == pytest.approx(interval, abs=0.008)
    # One-sided bounds at 95 % are the ends of a central 90 %.
    fall = scipys(lambda sick, healthy: shortfalls(each_hm(sick, healthy)[:, None])[0, 0], 0.9)
    assert (found.shortfall_low[0], found.shortfall_high[0]) == pytest.approx(fall, abs=0.008)


def test_points_are_those_of_the_patients_as_they_are():
    calls, labels, images, seeds = cohort(60, {4: 0.6, 1: 0.9}, 3)
    found = bootstrap(calls, labels, images, seeds, **RULE, rng=generator(0))
    expected = [np.mean([hm(run, labels) for run in calls[images == count]]) for count in (1, 4)]
    assert found.images.tolist() == [1, 4]
    assert found.hm == pytest.approx(expected)
    assert found.shortfall == pytest.approx([expected[1] - expected[0], expected[0] - expected[1]])


def test_the_order_of_runs_changes_nothing():
    calls, labels, images, seeds = cohort(60, {1: 0.6, 2: 0.8, 3: 0.9}, 3)
    order = np.random.default_rng(0).permutation(9)
    ours = bootstrap(calls, labels, images, seeds, **RULE, rng=generator("net"))
    theirs = bootstrap(calls[order], labels, images[order], seeds[order], **RULE, rng=generator("net"))
    assert ours.parts.equals(theirs.parts)
    assert (ours.shortfall_low == theirs.shortfall_low).all()
    assert (ours.shortfall_high == theirs.shortfall_high).all()


def test_the_order_of_patients_changes_the_bounds_by_chance_only():
    calls, labels, images, seeds = cohort(200, {1: 0.6, 2: 0.8}, 2)
    order = np.random.default_rng(0).permutation(200)
    ours = bootstrap(calls, labels, images, seeds, level=0.95, resamples=8000, rng=generator(0))
    theirs = bootstrap(calls[:, order], labels[order], images, seeds, level=0.95, resamples=8000, rng=generator(0))
    assert theirs.hm == pytest.approx(ours.hm)
    for name in ("shortfall_low", "shortfall_high"):
        assert getattr(theirs, name) == pytest.approx(getattr(ours, name), abs=0.01)


def test_counts_that_call_alike_never_differ():
    calls, labels, *_ = cohort(50, {1: 0.7}, 2)
    found = bootstrap(
        np.tile(calls, (2, 1)), labels, np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2]), **RULE, rng=generator(0)
    )
    assert not any(each.any() for each in (found.shortfall, found.shortfall_low, found.shortfall_high))


def test_pairing_is_what_makes_small_differences_visible():
    labels = np.arange(200) % 2 == 0
    better = (np.random.default_rng(1).random(200) < 0.7) == labels
    worse = better ^ (np.arange(200) < 6)  # six calls apart, the same otherwise
    pair, images = np.stack([worse, better]), np.array([1, 2])
    found = bootstrap(pair, labels, images, np.array([1, 1]), **RULE, rng=generator(0))
    width = found.shortfall_high - found.shortfall_low
    apart = np.quantile(resample(pair, labels, 2000, generator(0)), (0.025, 0.975), axis=1)
    assert (width < 0.5 * (apart[1] - apart[0])).all()


def test_a_single_count_falls_short_of_nothing():
    found = bootstrap(*cohort(30, {3: 0.8}, 2), **RULE, rng=generator(0))
    assert np.isnan([found.shortfall, found.shortfall_low, found.shortfall_high]).all()


def test_a_perfect_count_has_nothing_to_catch_up():
    calls, labels, images, seeds = cohort(40, {1: 0.6, 2: 1.0}, 2)
    found = bootstrap(calls, labels, images, seeds, **RULE, rng=generator(0))
    assert found.hm[1] == 1
    assert found.parts["patients_variance"][1] == 0
    assert found.shortfall_high[1] <= 1e-12


def test_hm_needs_both_labels():
    with pytest.raises(ValueError, match="positive and negative"):
        bootstrap(np.ones((1, 3), bool), np.ones(3, bool), np.array([1]), np.array([1]), **RULE, rng=generator(0))


def test_a_large_cohort_is_drawn_in_blocks(monkeypatch):
    monkeypatch.setattr("analysis.stats.bootstrap.DRAWS", 100)
    calls, labels, *_ = cohort(300, {1: 0.7, 2: 0.9}, 2)
    blocks = resample(calls, labels, 501, generator(0))
    monkeypatch.undo()
    whole = resample(calls, labels, 501, generator(0))
    assert blocks.shape == whole.shape == (4, 501)
    assert blocks.mean(axis=1) == pytest.approx(whole.mean(axis=1), abs=0.01)


def test_random_numbers_depend_on_names():
    assert generator("a", "b").integers(2**62) == generator("a", "b").integers(2**62)
    assert generator("a", "b").integers(2**62) != generator("a", "c").integers(2**62)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32))
def test_bounds_widen_with_the_level_and_hold_the_resamples_between_them(counts, seeds, name):
    runs = cohort(24, {count: 0.5 + 0.1 * count for count in range(counts)}, seeds, name)
    loose, tight = (bootstrap(*runs, level=level, resamples=100, rng=generator(name)) for level in (0.8, 0.95))
    if counts > 1:
        assert (tight.shortfall_low <= loose.shortfall_low).all()
        assert (loose.shortfall_low <= loose.shortfall_high).all()
        assert (loose.shortfall_high <= tight.shortfall_high).all()
