from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from analysis.records.bootstrap import generator, harmonic_mean, hms, resample


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


def test_resamples_come_up_as_often_as_enumeration_says():
    labels = np.array([True, True, False, False])
    calls = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1]]) == 1
    expected: dict[tuple[float, ...], float] = {}
    for positive, negative in product(product((0, 1), repeat=2), product((2, 3), repeat=2)):
        drawn = [*positive, *negative]
        outcome = tuple(np.round([hm(run[drawn], labels[drawn]) for run in calls], 9).tolist())
        expected[outcome] = expected.get(outcome, 0) + 1 / 16
    resamples = 40_000
    found = np.round(resample(calls, labels, resamples, generator(1)), 9)
    outcomes, times = np.unique(found, axis=1, return_counts=True)
    observed = dict(zip(map(tuple, outcomes.T.tolist()), times / resamples, strict=True))
    assert observed.keys() == expected.keys()
    for outcome, share in expected.items():
        assert observed[outcome] == pytest.approx(share, abs=5 * np.sqrt(share / resamples))


def test_bounds_agree_with_scipys_bootstrap():
    calls, labels, *_ = cohort(300, {1: 0.7, 2: 0.8, 3: 0.82}, 1)
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)

    def each_hm(sick: np.ndarray, healthy: np.ndarray) -> np.ndarray:
        return harmonic_mean(calls[:, sick].mean(axis=-1), (~calls[:, healthy]).mean(axis=-1))

    def scipys(statistic) -> np.ndarray:
        # Two samples drawn apart are the two labels; what is drawn are patients, the same for every count.
        data, rng = (positive, negative), np.random.default_rng(5)
        found = stats.bootstrap(data, statistic, n_resamples=4000, method="percentile", vectorized=False, rng=rng)
        return np.array(found.confidence_interval)

    resampled = resample(calls, labels, 4000, generator(2))
    for place in range(3):
        interval = scipys(lambda sick, healthy, place=place: each_hm(sick, healthy)[place])
        assert np.quantile(resampled[place], (0.025, 0.975)) == pytest.approx(interval, abs=0.008)
    apart = scipys(lambda sick, healthy: each_hm(sick, healthy)[2] - each_hm(sick, healthy)[0])
    assert np.quantile(resampled[2] - resampled[0], (0.025, 0.975)) == pytest.approx(apart, abs=0.008)


def test_points_are_those_of_the_patients_as_they_are():
    calls, labels, *_ = cohort(60, {4: 0.6, 1: 0.9}, 3)
    assert hms(calls, labels) == pytest.approx([hm(run, labels) for run in calls])


def test_runs_are_resampled_alike_whatever_else_there_is():
    calls, labels, *_ = cohort(60, {1: 0.6, 2: 0.8, 3: 0.9}, 3)
    order = np.random.default_rng(0).permutation(9)
    ours, theirs = (resample(each, labels, 500, generator("net")) for each in (calls, calls[order]))
    assert (ours[order] == theirs).all()
    assert (resample(calls[:2], labels, 500, generator("net")) == ours[:2]).all()


def test_the_order_of_patients_changes_resamples_by_chance_only():
    calls, labels, *_ = cohort(200, {1: 0.6, 2: 0.8}, 2)
    order = np.random.default_rng(0).permutation(200)
    ours = resample(calls, labels, 8000, generator(0))
    theirs = resample(calls[:, order], labels[order], 8000, generator(0))
    for level in (0.05, 0.95):
        assert np.quantile(theirs, level, axis=1) == pytest.approx(np.quantile(ours, level, axis=1), abs=0.01)


def test_hm_needs_both_labels():
    with pytest.raises(ValueError, match="positive and negative"):
        resample(np.ones((1, 3), bool), np.ones(3, bool), 100, generator(0))


def test_a_large_cohort_is_drawn_in_blocks(monkeypatch):
    monkeypatch.setattr("analysis.records.bootstrap.DRAWS", 100)
    calls, labels, *_ = cohort(300, {1: 0.7, 2: 0.9}, 2)
    blocks = resample(calls, labels, 501, generator(0))
    monkeypatch.undo()
    whole = resample(calls, labels, 501, generator(0))
    assert blocks.shape == whole.shape == (4, 501)
    assert blocks.mean(axis=1) == pytest.approx(whole.mean(axis=1), abs=0.01)


def test_random_numbers_depend_on_names():
    assert generator("a", "b").integers(2**62) == generator("a", "b").integers(2**62)
    assert generator("a", "b").integers(2**62) != generator("a", "c").integers(2**62)
