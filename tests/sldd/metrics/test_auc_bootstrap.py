"""Mean AUCs over seeds and patients, with intervals that hold their truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sldd.errors import InputError
from sldd.metrics.auc_bootstrap import AucBootstrap, estimate

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
