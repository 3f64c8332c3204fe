"""Nearest-patch attack."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sldd.privacy_attacks.group_test import MemberLabels
from sldd.privacy_attacks.nearest import COPY, expected_best, nearest
from sldd.privacy_attacks.similarity import MEASURES, Similarities


@pytest.mark.parametrize("drawn", [1, 3, 5])
def test_the_larger_group_is_compared_as_in_the_smaller_ones_number(drawn: int) -> None:
    similar = np.random.default_rng(0).random((5, 2))
    every = [similar[list(rows)].max(0) for rows in combinations(range(5), drawn)]
    assert expected_best(similar, drawn) == pytest.approx(np.mean(every, axis=0))


def _similarities(values: np.ndarray) -> Similarities:
    patients = list(range(len(values)))
    return Similarities(patients, np.ones(len(values), int), dict.fromkeys(MEASURES, values))


def test_one_copied_patient_among_many_is_found() -> None:
    groups = MemberLabels(np.arange(24) < 14, np.arange(24) % 2)
    random = np.random.default_rng(1)
    images, probes = 0.4 + 0.05 * random.random((24, 3)), 0.6 + 0.2 * random.random((24, 10))
    images[2] = 1.0  # all three images are of this patient: too few patients for a difference between the groups
    found = nearest(_similarities(images), _similarities(probes), groups, 0)["pixel"]
    assert found.effect.p > 0.05
    assert (found.copies, found.beyond, found.highest) == (3, 3, 1.0)
    assert found.copy_p == pytest.approx(1 / 286, abs=0.002)  # one of C(13, 3) orders puts the images first
    assert found.training > 0.8 > 0.5 > found.held_out


def test_images_near_all_who_trained_are_found_without_any_copy() -> None:
    groups = MemberLabels(np.arange(24) < 12, np.arange(24) % 2)
    random = np.random.default_rng(1)
    images = 0.3 + 0.1 * random.random((24, 3)) + 0.08 * groups.member[:, None]
    found = nearest(_similarities(images), _similarities(np.full((24, 12), 0.7)), groups, 0)["ssim"]
    assert found.effect.p < 0.01
    assert found.effect.auc_low > 0.6
    assert (found.copies, found.beyond) == (0, 0)
    assert found.copy_p > 0.9


@pytest.mark.parametrize("training", [6, 18])
def test_of_groups_of_other_sizes_neither_is_nearer_by_being_larger(training: int) -> None:
    groups = MemberLabels(np.arange(24) < training, np.arange(24) % 2)
    images = np.random.default_rng(2).random((24, 400))
    found = nearest(_similarities(images), _similarities(np.full((24, 12), 0.7)), groups, 0)["pixel"]
    assert found.training == pytest.approx(found.held_out, abs=0.03)


def test_the_yardstick_is_how_near_held_out_patches_are_to_those_who_trained() -> None:
    groups = MemberLabels(np.arange(24) < 12, np.arange(24) % 2)
    probes = np.zeros((24, 3))
    probes[3], probes[12:] = [0.1, 0.2, 0.9], 1.0  # to other held-out patients they may be as near as they like
    images = np.zeros((24, 4))
    images[5] = [0.3, 0.95, COPY, 1.0]
    found = nearest(_similarities(images), _similarities(probes), groups, 0)["pixel"]
    assert (found.unseen, found.unseen_highest, found.highest) == (0.2, 0.9, 1.0)
    assert (found.beyond, found.copies) == (3, 2)
