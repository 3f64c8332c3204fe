"""Re-identification attack."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.privacy_attacks.group_test import MemberLabels
from sldd.privacy_attacks.reidentification import leads, reidentify
from sldd.privacy_attacks.similarity import MEASURES, Similarities

GROUPS = MemberLabels(np.arange(20) < 10, np.arange(20) % 2)
OWNERS = list(range(110, 120))


def _similarities(values: np.ndarray) -> Similarities:
    return Similarities(list(range(100, 120)), np.ones(20, int), dict.fromkeys(MEASURES, values))


def _probes(random: np.random.Generator) -> np.ndarray:
    probes = 0.5 + 0.1 * random.random((20, 10))
    probes[np.arange(10, 20), np.arange(10)] = 1.0  # each is a patch of its owner, whom it must not be compared with
    return probes


def test_copies_are_matched_to_their_patients_and_stand_out() -> None:
    random = np.random.default_rng(0)
    images = 0.5 + 0.1 * random.random((20, 4))
    images[[1, 4, 4, 8], np.arange(4)] = 1.0
    found = reidentify(
        _similarities(images), _similarities(_probes(random)), OWNERS, GROUPS, 0, sources=[101, 104, 104, 109]
    )["pixel"]
    assert (found.images, found.first, found.tied, found.matched) == (4, 4, 4, 3)  # the last is not its source's
    assert found.tied_p < 0.01
    assert found.first_p < 0.25
    assert found.chance == 0.5


def test_noise_singles_nobody_out() -> None:
    random = np.random.default_rng(0)
    found = reidentify(_similarities(0.1 * random.random((20, 6))), _similarities(_probes(random)), OWNERS, GROUPS, 0)[
        "feature"
    ]
    assert found.tied == 0
    assert found.tied_p > 0.05
    assert found.few_p > 0.05
    assert found.matched is None


def test_who_stands_out_among_the_held_out_is_no_leak() -> None:
    random = np.random.default_rng(0)
    images = 0.5 + 0.1 * random.random((20, 4))
    images[[12, 13, 14, 15], np.arange(4)] = 1.0
    found = reidentify(_similarities(images), _similarities(_probes(random)), OWNERS, GROUPS, 0)["ssim"]
    assert (found.first, found.tied) == (0, 0)
    assert found.tied_p > 0.95


def test_equally_near_patients_are_found_in_an_order_by_chance() -> None:
    probes, flat = _similarities(_probes(np.random.default_rng(0))), _similarities(np.zeros((20, 3)))
    found = [reidentify(flat, probes, OWNERS, GROUPS, seed)["pixel"] for seed in range(12)]
    assert all(each.first in (0, 3) and each.few < 1 for each in found), "one order for all images"
    assert len({each.first for each in found}) == 2
    assert all(each.few_p > 0.02 for each in found)
    assert np.mean([each.few for each in found]) == pytest.approx(0.5, abs=0.15)


def test_a_lead_is_in_deviations_of_the_others() -> None:
    similar = np.array([[0.0, 0.0], [0.2, 0.2], [0.9, 0.2]])
    assert leads(similar) == pytest.approx([7.0, 0.0])


def test_images_near_whoever_trained_have_small_p_values() -> None:
    random = np.random.default_rng(0)
    images = 0.5 + 0.1 * random.random((20, 8)) + 0.2 * GROUPS.member[:, None]
    images[np.arange(8), np.arange(8)] += 0.05  # another patient is nearest to each
    found = reidentify(_similarities(images), _similarities(_probes(random)), OWNERS, GROUPS, 0)["pixel"]
    assert (found.first, found.few) == (8, 1.0)
    assert found.first_p < 0.01
    assert found.few_p < 0.01
