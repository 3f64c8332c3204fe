"""Nearest-patch attack: are distilled images more like patches of patients who trained than of others?

A distilled image that copies a patch is nearer to that patient than real patches of different people ever are to each
other; one that remembers is nearer to those who trained than to held-out patients. So held-out patients are a yardstick
twice: their patches as what may be near (Platzer & Reutterer 2021), and in the image's place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sldd.privacy_attacks.group_test import GroupTest, MemberLabels, compare, higher_p
from sldd.privacy_attacks.similarity import Similarities

COPY = 0.99
"""Similarity from which on an image counts as a copy, whatever any test says."""


@dataclass(frozen=True)
class Nearest:
    """Result by one measure of similarity.

    Attributes:
        training, held_out: similarity of the nearest patch, a mean over images, of equally many patients on both sides.
        effect: per patient, whether those who trained are nearer.
        highest: similarity to the nearest training patch, of the image for which it is highest.
        unseen, unseen_highest: the same of held-out patients' own patches in the images' place: their median, and the
            highest.
        beyond: images nearer to a training patient than every one of those patches is.
        copies: images that are copies (``COPY``) of a training patch.
        copy_p: one-sided, that images are no nearer than those patches, one a patient.
    """

    training: float
    held_out: float
    effect: GroupTest
    highest: float
    unseen: float
    unseen_highest: float
    beyond: int
    copies: int
    copy_p: float


def nearest(images: Similarities, probes: Similarities, groups: MemberLabels, seed: int) -> dict[str, Nearest]:
    """Run the attack by each measure of similarity.

    Args:
        images: of the package's images, over both groups.
        probes: of one patch of each held-out patient, over the same patients.
    """
    found = {}
    for measure, similar in images.best.items():
        training, held_out = similar[groups.member], similar[~groups.member]
        equal = min(len(training), len(held_out))
        # To the nearest patient who trained: (images,) of each image, (probes,) of each held-out patient's patch.
        closest, unseen = training.max(0), probes.best[measure][groups.member].max(0)
        found[measure] = Nearest(
            training=float(expected_best(training, equal).mean()),
            held_out=float(expected_best(held_out, equal).mean()),
            effect=compare(similar, groups, seed),
            highest=float(closest.max()),
            unseen=float(np.median(unseen)),
            unseen_highest=float(unseen.max()),
            beyond=int((closest > unseen.max()).sum()),
            copies=int((closest >= COPY).sum()),
            copy_p=higher_p(closest, unseen, seed),
        )
    return found


def expected_best(similar: np.ndarray, patients: int) -> np.ndarray:
    """Expected similarity of the nearest patient, when ``patients`` are drawn without replacement.

    The more patients there are, the nearer is the nearest; so the larger group is compared as if it had as many as the
    smaller one. A single draw would most often leave out whoever was copied; this is the mean over all draws.

    Args:
        similar: (n, images) similarity of each patient to each image.
        patients: drawn, at most n.

    Returns:
        (images,).
    """
    ordered = -np.sort(-similar, axis=0)  # the nearest patient of each image first
    total = len(ordered)
    is_nearest = np.zeros(total)  # chance of each rank to be the nearest one drawn: it is drawn, and none before it
    none_before = 1.0
    for rank in range(total - patients + 1):
        drawn = patients / (total - rank)  # chance, where none before it was
        is_nearest[rank] = none_before * drawn
        none_before *= 1 - drawn
    expected: np.ndarray = is_nearest @ ordered
    return expected
