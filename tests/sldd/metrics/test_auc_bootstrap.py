"""Mean AUCs over seeds and patients, with intervals that hold their truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sldd.errors import InputError
from sldd.metrics import auc_bootstrap
from sldd.metrics.auc_bootstrap import AucBootstrap, FilmAucBootstrap, estimate
from sldd.metrics.intervals import Estimate

LABELS = np.repeat([1, 0], [15, 25])


def test_what_was_seen_is_the_mean_auc() -> None:
    scores = np.random.default_rng(1).integers(0, 6, (3, 40)).astype(float)  # with ties
    found = AucBootstrap(LABELS, 3, draws=50).aucs(scores)
    assert found[0] == pytest.approx(np.mean([roc_auc_score(LABELS, run) for run in scores]))
    assert len(found) == 51
    assert found[1:].std() > 0


def test_draws_pair_what_is_compared() -> None:
    random = np.random.default_rng(2)
    scores = random.standard_normal((3, 40)) + LABELS
    drawn = AucBootstrap(LABELS, 3)
    assert np.ptp(drawn.aucs(scores) - drawn.aucs(2 * scores)) == 0
    apart = estimate(drawn.aucs(scores) - drawn.aucs(scores + 0.01 * random.standard_normal((3, 40))))
    one = estimate(drawn.aucs(scores))
    assert apart.high - apart.low < (one.high - one.low) / 5


def test_seeds_that_differ_widen_the_interval() -> None:
    base = np.random.default_rng(3).standard_normal(40) + 2 * LABELS
    alike, unlike = np.stack([base] * 3), np.stack([base, base, -base])
    drawn = AucBootstrap(LABELS, 3)
    widths = [np.subtract(*np.quantile(drawn.aucs(each)[1:], [0.975, 0.025])) for each in (alike, unlike)]
    assert widths[1] > 1.5 * widths[0]


def test_one_run_has_no_seed_to_draw() -> None:
    base = np.random.default_rng(3).standard_normal(40) + 2 * LABELS
    drawn = AucBootstrap(LABELS, 3, draws=100)
    assert np.allclose(drawn.aucs(base[None]), drawn.aucs(np.stack([base] * 3)))


def test_a_label_is_missing() -> None:
    with pytest.raises(InputError, match="one label is absent"):
        AucBootstrap(np.ones(4), 1)


def test_an_interval_is_of_the_draws_and_not_of_what_was_seen() -> None:
    assert estimate(np.array([9.0, 2.0, np.nan, 1.0, 3.0])) == Estimate(9.0, 1.0, 3.0)


def _films(films: int = 40, runs: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(films, 3) findings, of which some are not known and the last is on no film; and (runs, films, 3) scores."""
    random = np.random.default_rng(4)
    truth = (random.random((films, 3)) < [0.5, 0.3, 0.0]).astype(float)
    scores = (0.3 * truth + 0.7 * random.random((runs, films, 3))).round(1)
    truth[:5, 1] = np.nan
    return truth, scores


def test_what_was_seen_of_films_is_the_mean_auc_of_classes_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, scores = _films()
    patients = np.arange(40) // 2
    found = FilmAucBootstrap(patients, truth, 2, draws=60).aucs(scores)
    each = [[roc_auc_score(truth[:, 0], run[:, 0]), roc_auc_score(truth[5:, 1], run[5:, 1])] for run in scores]
    assert found[0] == pytest.approx(np.mean(each))
    assert len(found) == 61
    assert found[1:].std() > 0
    monkeypatch.setattr(auc_bootstrap, "_AT_ONCE", 7 * 40)
    assert np.array_equal(FilmAucBootstrap(patients, truth, 2, draws=60).aucs(scores), found)
    with pytest.raises(InputError, match="there is no such class"):
        FilmAucBootstrap(patients, truth[:, 2:], 2)


def test_films_of_a_patient_are_drawn_together() -> None:
    """Every film four times over is no more certain, as long as the copies are the same patients'."""
    truth, scores = _films(runs=1)
    patients = np.arange(40) // 2
    once = FilmAucBootstrap(patients, truth, 1, draws=200).aucs(scores)
    copies = np.tile(truth, (4, 1)), np.tile(scores, (1, 4, 1))
    assert FilmAucBootstrap(np.tile(patients, 4), copies[0], 1, draws=200).aucs(copies[1]) == pytest.approx(once)
    apart = FilmAucBootstrap(np.arange(160), copies[0], 1, draws=200).aucs(copies[1])
    assert apart[1:].std() < 0.7 * once[1:].std()
