from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from analysis.design.simulation import (
    Design,
    curves,
    every_count,
    hms_of,
    own_luck,
    right_calls,
    tried,
    true_hm,
)


@pytest.mark.parametrize("failing", [0.0, 0.4])
def test_calls_have_the_hm_they_were_given(failing: float):
    design = Design(networks=1, counts=(1, 2), seeds=400, patients=400, failing=failing)
    rng = np.random.default_rng(1)
    _, curve = curves(design, rng)
    found = hms_of(right_calls(design, curve, rng)).mean(axis=-1)
    assert found == pytest.approx(true_hm(design, curve), abs=0.03)


def test_luck_of_patients_alone_is_what_runs_of_one_seed_differ_by():
    design = Design(networks=1, counts=(1,), seeds=2_000, patients=100, seed_spread=0.0)
    rng = np.random.default_rng(2)
    hms = hms_of(right_calls(design, np.full((1, 1), logit(0.8)), rng))
    assert hms.var() == pytest.approx(float(own_luck(hms.mean(), 100)), rel=0.25)


def test_families_are_as_alike_as_told_and_needs_follow_parameters():
    design = Design(networks=300, families=100, alike=0.9, correlation=1.0)
    parameters, curve = curves(design, np.random.default_rng(3))
    sizes = np.log10(parameters).reshape(3, 100)  # networks of a family are 100 apart
    assert np.corrcoef(sizes[0], sizes[1])[0, 1] == pytest.approx(0.9, abs=0.05)
    assert np.corrcoef(np.log10(parameters), curve[:, 1])[0, 1] < -0.8
    assert len(set(design.kinds)) == 100


def test_given_networks_keep_their_parameters_and_families():
    design = Design(networks=2, parameters=(5, 50), kin=("a", "b"))
    assert curves(design, np.random.default_rng(4))[0].tolist() == [5, 50]
    assert design.kinds == ("a", "b")


def test_larger_networks_may_be_tried_at_more_counts_and_searches_try_fewer():
    design = Design(networks=2, counts=(1, 2), larger_at=(4,))
    assert every_count(design) == (1, 2, 4)
    ran = tried(design, np.array([5, 6]), np.zeros((2, 4)))
    assert ran.tolist() == [[True, True, False], [True, True, True]]
    searched = replace(Design(networks=2, counts=(1, 2, 3, 4, 6, 8), searched=True))
    hms = np.array([[0.85] + [0.8] * 6, [0.85, 0.5, 0.5, 0.5, 0.8, 0.8, 0.8]])
    assert tried(searched, np.array([5, 6]), hms).tolist() == [
        [True, False, False, False, False, True],  # the smallest suffices: nothing else is run
        [True, True, True, True, False, True],
    ]
