"""PED-ANOVA against a case by hand, Optuna's evaluator, and trials that differ in nothing."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from analysis.stats import importance
from analysis.stats.importance import LEVEL, Values, best_of, importances

CHOICES = ["x", "y", "z"]


def test_a_case_by_hand() -> None:
    # Four trials of either choice. Of all: kernels of the two observed choices and a flat one, so that either has a
    # half. The best two are of the first choice: (2 * 3/4 + 1/2) / 3 = 2/3 of it. D = 2 * 1/2 (1/3)^2.
    values = Values(np.array([0, 0, 1, 1, 0, 0, 1, 1]), 2, ordered=False)
    assert values.divergence(np.array([[0, 1]]), np.arange(8)[None]) == pytest.approx([1 / 9])
    # Where the best are as all are, they say nothing.
    assert values.divergence(np.arange(8)[None], np.arange(8)[None]) == pytest.approx([0])


@pytest.mark.parametrize("trials", [13, 60])
def test_it_is_optunas(trials: int) -> None:
    rng = np.random.default_rng(trials)
    rates = 0.01 * 10 ** rng.random((trials, 2))
    choices = rng.integers(3, size=trials)
    scores = -(np.log(rates[:, 0] / 0.02) ** 2) + 0.3 * (choices == 1) + 0.2 * rng.normal(size=trials)
    space = {
        "a": FloatDistribution(rates[:, 0].min(), rates[:, 0].max(), log=True),
        "b": FloatDistribution(rates[:, 1].min(), rates[:, 1].max(), log=True),
        "c": CategoricalDistribution(CHOICES),
    }
    study = optuna.create_study(direction="maximize")
    for (a, b), choice, score in zip(rates, choices, scores, strict=True):
        given = {"a": float(a), "b": float(b), "c": CHOICES[choice]}
        study.add_trial(create_trial(params=given, distributions=dict(space), value=float(score)))
    theirs = PedAnovaImportanceEvaluator(target_quantile=0.25).evaluate(study)

    order = np.argsort(-scores)
    best, everyone = order[None, : math.ceil(trials * 0.25)], order[None]
    ours = {
        "a": Values.of_range(np.log(rates[:, 0])),
        "b": Values.of_range(np.log(rates[:, 1])),
        "c": Values(choices, 3, ordered=False),
    }
    share = best.size / trials
    for name, values in ours.items():
        assert share**2 * values.divergence(best, everyone) == pytest.approx([theirs[name]], rel=1e-6), name


def test_the_best_are_the_best_of_each_cell() -> None:
    assert best_of(np.array([4, 4, 7, 7, 7, 1, 1, 1, 1, 1])).tolist() == [0, 2, 5, 6]


def test_a_setting_that_decides_is_told_and_one_that_goes_with_the_cell_is_not() -> None:
    rng = np.random.default_rng(0)
    cells = np.repeat(np.arange(8), 8)
    ranks = np.tile(np.arange(8), 8)
    settings = {
        "decides": Values.of_range(np.where(ranks < 2, 0.3, 0.7) + 0.05 * rng.random(64)),
        # Each cell has values of its own, as where large networks need lower rates.
        "of the cell": Values.of_range(cells + 0.2 * rng.random(64)),
    }
    found = importances(cells, settings, rng)
    assert found["decides"].p < 0.01
    assert found["decides"].value > 0.8
    assert found["of the cell"].p > 0.05
    assert found["of the cell"].value < 0.1
    for each in found.values():
        assert 0 <= each.low <= each.value <= each.high <= 1


def test_what_has_no_effect_is_told_as_often_as_the_level_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "RESAMPLES", 100)
    rng = np.random.default_rng(0)
    cells = np.repeat(np.arange(6), 5)
    told = [
        importances(cells, {"rate": Values.of_range(rng.random(30))}, rng)["rate"].p <= 1 - LEVEL for _ in range(60)
    ]
    assert sum(told) / len(told) <= 2 * (1 - LEVEL)
