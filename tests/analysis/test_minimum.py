from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from analysis.minimum import exact_p, minimum_images, trend, verdict
from analysis.records import SCHEMA

# 001_5e05df9ea80fb831, Tables 4, 5 and 6: parameters, HM for each image count, published smallest count.
PUBLISHED = {
    "googlenet": (5_984_915, {1: 0.806, 3: 0.882}, 1),
    "resnet18": (11_176_963, {1: 0.827, 3: 0.869}, 1),
    "resnet34": (21_285_123, {1: 0.858, 3: 0.896}, 1),
    "alexnet": (57_000_643, {1: 0.767, 3: 0.836}, 1),
    "vgg16": (134_271_683, {1: 0.577, 2: 0.923, 3: 0.916}, 2),
    "vgg19": (139_581_379, {1: 0.727, 2: 0.915, 3: 0.927}, 2),
}


def records(*trials: dict) -> pd.DataFrame:
    """Records of confirm trials that are done, unless a trial says otherwise."""
    usual = {"phase": "confirm", "status": "done", "method": "sldd", "norm": "as_is", "label_init": "one_hot"}
    usual |= {"distill_steps": 1, "distill_epochs": 1, "parameters": 1000, "backbone": "net", "images": 1}
    return pd.DataFrame([usual | trial for trial in trials], columns=list(SCHEMA)).astype(SCHEMA)


def network(name: str, parameters: int, hms: dict[int, float], **changed) -> list[dict]:
    known = {"backbone": name, "parameters": parameters} | changed
    return [known | {"images": images, "test_hm": hm} for images, hm in hms.items()]


def answer(*networks: list[dict]) -> pd.DataFrame:
    return minimum_images(records(*(trial for each in networks for trial in each)))


def published() -> pd.DataFrame:
    return answer(*(network(name, parameters, hms) for name, (parameters, hms, _) in PUBLISHED.items()))


def test_the_rule_reproduces_the_published_column():
    found = published().set_index("backbone")["minimum_images"]
    assert found.to_dict() == {name: smallest for name, (_, _, smallest) in PUBLISHED.items()}


def test_the_published_points_have_an_exact_p_of_one_in_fifteen():
    found = trend(published())
    assert found.backbones == 6
    assert found.p == found.smallest_p == Fraction(1, 15)
    parameters, _, images = zip(*PUBLISHED.values(), strict=True)
    assert found.rho == pytest.approx(spearmanr(parameters, images).statistic)


def test_the_mean_over_seeds_decides_and_other_trials_do_not():
    row = minimum_images(
        records(
            {"images": 1, "test_hm": 0.9},
            {"images": 1, "test_hm": 0.5},
            {"images": 2, "test_hm": 0.8},
            {"images": 2, "test_hm": 0.9},
            {"images": 1, "test_hm": 1.0, "phase": "search"},
            {"images": 1, "test_hm": 1.0, "status": "diverged"},
            {"images": 3, "status": "running"},
        )
    ).iloc[0]
    assert (row["minimum_images"], row["best_images"], row["tried"]) == (2, 2, "1, 2")
    assert row["best_hm"] == row["hm_at_minimum"] == pytest.approx(0.85)


def test_a_difference_of_exactly_the_margin_suffices():
    assert answer(network("net", 1, {1: 0.8, 2: 0.9}))["minimum_images"].tolist() == [1]
    assert answer(network("net", 1, {1: 0.799, 2: 0.9}))["minimum_images"].tolist() == [2]


def test_backbones_without_a_usable_count_are_censored_with_their_reason():
    never, waiting = network("never", 10, {1: 0.45, 2: 0.49}), [{"backbone": "waiting", "status": "running"}]
    found = answer(never, waiting, network("works", 20, {1: 0.5})).set_index("backbone")
    assert found["censored"].to_dict() == {"never": True, "waiting": True, "works": False}
    assert found["minimum_images"].isna().tolist() == [True, True, False]
    assert found["reason"].tolist() == ["best HM 0.49 is under 0.5", "no confirm trial is done", ""]
    assert found.loc["never", "best_images"] == 2


def test_settings_are_answered_apart():
    found = answer(
        network("net", 1, {1: 0.9, 2: 0.9}),
        network("net", 1, {1: 0.6, 2: 0.9}, label_init="uniform"),
        network("net", 1, {1: 0.3, 2: 0.9}, distill_steps=3),
    )
    assert found[["label_init", "distill_steps", "minimum_images"]].to_numpy().tolist() == [
        ["one_hot", 1, 1],
        ["uniform", 1, 2],
        ["one_hot", 3, 2],
    ]
    said = verdict(found)
    assert said.count("single point") == 3
    assert "With labels uniform, distill steps 1: 1 backbone" in said


def test_no_trials_no_answer():
    found = minimum_images(records())
    assert found.empty
    assert {"backbone", "minimum_images", "censored"} <= set(found.columns)
    assert "nothing can be said" in verdict(found)


def test_exact_p_of_a_case_enumerated_by_hand():
    # y = 1, 1, 2 over x = 1, 2, 3: the 2 may stand at any of three places, each equally likely.
    assert exact_p([1, 2, 3], [1, 1, 2]) == (Fraction(1, 3), Fraction(1, 3))
    assert exact_p([1, 2, 3], [1, 2, 1]) == (Fraction(2, 3), Fraction(1, 3))
    assert exact_p([1, 2, 3], [2, 1, 1]) == (Fraction(1), Fraction(1, 3))


@pytest.mark.parametrize("points", range(2, 8))
def test_exact_p_agrees_with_listing_every_permutation_and_scipys_statistic(points):
    rng = np.random.default_rng(points)
    for x, y in (rng.integers(0, points, (2, points)) for _ in range(3)):
        if len(set(x)) < 2 or len(set(y)) < 2:
            continue
        observed = spearmanr(x, y).statistic
        rho = np.array([spearmanr(x, order).statistic for order in set(permutations(y))])
        assert float(exact_p(x, y)[0]) == pytest.approx((rho >= observed - 1e-12).mean())
        assert float(exact_p(x, y)[1]) == pytest.approx((rho >= rho.max() - 1e-12).mean())


def test_exact_p_of_eight_distinct_points_in_order():
    assert exact_p(range(8), range(8)) == (Fraction(1, 40_320), Fraction(1, 40_320))


def test_three_backbones_in_perfect_order_are_said_to_be_too_few():
    said = verdict(answer(*(network(name, 10**k, {1: 0.2, k: 0.9}) for k, name in enumerate("abc", start=1))))
    assert "3 backbones" in said
    assert "even a perfect order of these points has p ≥ 1/6" in said
    assert "cannot show" in said


def test_equal_minima_leave_the_correlation_undefined():
    found = answer(network("a", 10, {1: 0.9}), network("b", 20, {1: 0.9}))
    assert trend(found).rho is None
    assert "need the same number of images (1), so their rank correlation is undefined" in verdict(found)


def test_censored_backbones_are_left_out_and_named():
    found = answer(network("a", 10, {1: 0.9}), network("b", 20, {1: 0.2, 2: 0.9}), network("c", 30, {1: 0.1}))
    assert trend(found).backbones == 2
    assert "Left out: c (best HM 0.10 is under 0.5)." in verdict(found)


def test_enough_points_in_order_are_believed_and_out_of_order_are_not():
    order = [1, 1, 2, 2, 3, 3]
    rising = answer(*(network(f"n{k}", 10 + k, {1: 0.2} | {images: 0.9}) for k, images in enumerate(order)))
    falling = answer(*(network(f"n{k}", 90 - k, {1: 0.2} | {images: 0.9}) for k, images in enumerate(order)))
    assert "they show that larger networks need more" in verdict(rising)
    assert trend(rising).p == Fraction(1, 90)
    assert "they do not show" in verdict(falling)
