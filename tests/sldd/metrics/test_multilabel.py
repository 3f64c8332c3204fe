"""Multilabel metrics: by hand, against scikit-learn, and undefined where a class has one kind of film."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from sldd.data.multilabel_batches import label_counts
from sldd.metrics.multilabel import METRICS, bootstrap_findings, call_positive, ranked, score_findings

NAN = np.nan
LABELS = np.array([[1, 0, 1], [0, 0, 1], [1, 0, NAN], [0, 0, NAN], [NAN, 0, 1]])
SCORES = np.array([[0.9, 0.1, 0.2], [0.8, 0.2, 0.3], [0.3, 0.3, 0.4], [0.1, 0.4, 0.5], [0.7, 0.5, 0.6]])


def test_by_hand() -> None:
    """Class a: ranked 1, 0, 1, 0. Three of four pairs in order; precision 1/1 and 2/3 where recall grows."""
    scores = score_findings(["a", "b", "c"], LABELS, SCORES, label_counts(LABELS))
    assert scores.positives == [2, 0, 3]
    assert scores.negatives == [2, 5, 0]
    assert scores.auc == [0.75, None, None]
    assert scores.average_precision == [pytest.approx((1 + 2 / 3) / 2), None, None]
    # n_pos = n_neg: called where p > 1/2, so the second film wrongly, and the third is missed.
    assert scores.hamming_loss == [0.5, None, None]
    assert scores.defined == ["a"]
    assert scores.mean("auc") == 0.75


def test_nothing_defined_has_no_mean() -> None:
    scores = score_findings(["b", "c"], LABELS[:, 1:], SCORES[:, 1:], label_counts(LABELS[:, 1:]))
    assert [scores.mean(metric) for metric in METRICS] == [None, None, None]
    for intervals, mean in bootstrap_findings(
        LABELS[:, 1:], SCORES[:, 1:], label_counts(LABELS[:, 1:]), [*range(5)], seed=0, resamples=20
    ).values():
        assert {interval.low for interval in [*intervals, mean]} == {None}


def test_the_odds_threshold() -> None:
    """One positive in four: called above p = 1/4, and not at it."""
    p = np.array([[0.2], [0.25], [0.26], [1.0]])
    assert call_positive(p, np.array([1]), np.array([3])).ravel().tolist() == [False, False, True, True]
    assert call_positive(p, np.array([0]), np.array([3])).all(), "no positive: any probability beats odds of 0"
    assert not call_positive(p[:3], np.array([4]), np.array([0])).any()


@given(p=st.floats(0, 1), positives=st.integers(0, 50), negatives=st.integers(1, 50))
def test_the_odds_are_the_published_ones(p: float, positives: int, negatives: int) -> None:
    right = (1 - p) * positives / negatives
    if abs(p - right) > 1e-12:
        called = call_positive(np.array([[p]]), np.array([positives]), np.array([negatives]))
        assert bool(called[0, 0]) == (p > right)


def _films(seed: int, films: int = 60, ties: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random((films, 3)) < [0.5, 0.3, 0.15]).astype(float)
    scores = np.clip(0.3 * labels + random.random((films, 3)) * 0.7, 0, 1)
    labels[random.random((films, 3)) < 0.1] = NAN
    return labels, scores.round(1) if ties else scores, random.integers(0, films // 3, films)


@given(seed=st.integers(0, 200), ties=st.booleans())
@settings(max_examples=40)
def test_weighted_ranks_are_scikit_learns(seed: int, ties: bool) -> None:
    labels, scores, _ = _films(seed, ties=ties)
    known = ~np.isnan(labels[:, 1])
    truth, score = labels[known, 1] == 1, scores[known, 1]
    weights = np.random.default_rng(seed).integers(0, 4, (5, known.sum())).astype(float)
    for drawn, auc, precision in zip(weights, *ranked(weights, truth, score), strict=True):
        if 0 < truth @ drawn < drawn.sum():
            assert auc == pytest.approx(roc_auc_score(truth, score, sample_weight=drawn))
            assert precision == pytest.approx(average_precision_score(truth, score, sample_weight=drawn))
        else:
            assert np.isnan([auc, precision]).all()


def test_intervals_hold_the_scores_and_narrow_with_more_patients() -> None:
    widths = []
    for films in (60, 960):
        labels, scores, patients = _films(1, films)
        counts = label_counts(labels)
        point = score_findings(["a", "b", "c"], labels, scores, counts)
        found = bootstrap_findings(labels, scores, counts, patients, seed=0, resamples=300)
        for metric in METRICS:
            intervals, mean = found[metric]
            for interval, value in zip([*intervals, mean], [*getattr(point, metric), point.mean(metric)], strict=True):
                assert interval.low < value < interval.high
        widths.append(found["auc"][1].high - found["auc"][1].low)  # type: ignore[operator]
    assert widths[1] < widths[0] / 2


def test_the_same_seed_gives_the_same_intervals() -> None:
    labels, scores, patients = _films(2)
    counts = label_counts(labels)
    first, again, other = (
        bootstrap_findings(labels, scores, counts, patients, seed=seed, resamples=50) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_patients_are_drawn_and_not_films() -> None:
    """Every film four times over is no more certain, as long as the copies are the same patients'."""
    labels, scores, patients = _films(3)
    counts = label_counts(labels)
    once = bootstrap_findings(labels, scores, counts, patients, seed=0, resamples=200)
    copies = [np.tile(values, (4, 1)) for values in (labels, scores)]
    assert bootstrap_findings(*copies, counts, np.tile(patients, 4), seed=0, resamples=200)["auc"] == once["auc"]
    apart = bootstrap_findings(*copies, counts, np.arange(4 * len(labels)), seed=0, resamples=200)["auc"][1]
    assert apart.high - apart.low < 0.7 * (once["auc"][1].high - once["auc"][1].low)  # type: ignore[operator]


def test_a_finding_of_one_patient_has_few_resamples() -> None:
    """1 - 1/e of the resamples have that patient; where less than half have both kinds, there are no bounds."""
    labels, scores = np.zeros((40, 1)), np.linspace(0, 1, 40)[:, None]
    labels[39] = 1
    intervals, mean = bootstrap_findings(labels, scores, label_counts(labels), [*range(40)], seed=0)["auc"]
    assert intervals[0].resamples == pytest.approx(1000 * (1 - np.exp(-1)), abs=60)
    assert (intervals[0].low, intervals[0].high) == (1, 1)
    assert mean == intervals[0]
    labels[1:39] = NAN  # one negative patient too
    found = bootstrap_findings(labels, scores, label_counts(labels), [*range(40)], seed=0)["auc"][0][0]
    assert found.resamples == pytest.approx(1000 * (1 - np.exp(-1)) ** 2, abs=60)
    assert (found.low, found.high) == (None, None)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, patients = _films(4)
    counts = label_counts(labels)
    whole = bootstrap_findings(labels, scores, counts, patients, seed=0, resamples=64)
    monkeypatch.setattr("sldd.metrics.multilabel._DRAWN", 7 * len(labels))
    assert bootstrap_findings(labels, scores, counts, patients, seed=0, resamples=64) == whole
