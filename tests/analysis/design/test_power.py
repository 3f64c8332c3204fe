from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.design.power import Power, power, unrelated
from analysis.design.simulation import Design

TWELVE = Design(networks=12)
FAMILIES = replace(TWELVE, families=5)
WIDE = replace(TWELVE, counts=(1, 2, 4, 8), larger_at=(3, 16))


@pytest.mark.parametrize(
    "design",
    [
        TWELVE,
        replace(FAMILIES, alike=0.5),
        replace(FAMILIES, alike=0.9),
        replace(TWELVE, counts=(1, 2), larger_at=(3, 4)),
        replace(TWELVE, counts=(1, 2, 3, 4, 6, 8), searched=True),
    ],
)
def test_without_a_relation_a_study_shows_one_in_one_of_twenty(design):
    # Of 500 studies 5 % are 25, with a standard deviation of 5; ranks that tie make the last a little rarer.
    found = power(design, 500)
    assert found.level == pytest.approx(0.05, abs=0.03)
    # Where counts are searched, networks share the largest alone, which has no steepness.
    assert found.steepness == pytest.approx(0.0 if design.searched else 0.05, abs=0.03)
    assert 0.01 <= found.counts <= 0.08


def test_steadier_seeds_and_more_patients_and_networks_show_more():
    related = replace(TWELVE, correlation=0.7)
    steady = replace(related, seeds=5, patients=200, seed_spread=0.05)
    assert power(related, 100).level < power(steady, 100).level - 0.2
    assert power(steady, 100).level < power(replace(steady, networks=20), 100).level
    assert power(related, 100).level < power(replace(related, correlation=1.0), 100).level


def test_families_alike_that_pass_for_unrelated_show_what_is_not_there():
    found = power(replace(FAMILIES, alike=0.9, seeds=5, patients=200, seed_spread=0.05), 150)
    assert found.unrelated > 0.09
    assert found.counts < 0.09


def test_three_networks_show_nothing_whatever_is_true():
    assert power(Design(networks=3, correlation=1.0, seeds=5, patients=100), 50) == Power(0.0, 0.0, 0.0, 0.0)


def test_the_same_design_has_the_same_power():
    found = power(TWELVE, 50)
    power.cache_clear()
    assert power(TWELVE, 50) == found


def test_networks_without_kin_are_drawn_anew():
    known = Design(networks=2, parameters=(5, 6), kin=("a", "a"), alike=0.5)
    assert len(set(unrelated(known, 20).kinds)) == 20
    assert power(unrelated(known, 20), 20).level < 1
