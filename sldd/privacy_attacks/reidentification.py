"""Re-identification attack: can a distilled image be tied to one patient?

Whoever has films of candidates looks for the one that an image is most like. Two signs that this works: the nearest
patients trained more often than chance has it, and the nearest stands out from all others by more than the nearest
*other* patient of a real patch does (a real patch stands out from its own patient only).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sldd.privacy_attacks.group_test import MemberLabels, higher_p, p_value, permutations
from sldd.privacy_attacks.similarity import Similarities
from sldd.rng import stream

FEW = 5
"""Of the nearest patients, so many are looked at beside the nearest alone."""


@dataclass(frozen=True)
class Reidentification:
    """Result by one measure of similarity.

    Attributes:
        images: how many.
        chance: the share of candidates who trained.
        first, first_p: images whose nearest patient trained, and the one-sided p-value by exchanging patients.
        few, few_p: the share of those who trained among the ``FEW`` nearest, over all images.
        tied: images whose nearest patient trained and stands out by more than any held-out patch's nearest other
            patient does; tied_p: one-sided, that images' nearest stand out no more.
        matched: images whose nearest patient is the one they were cut from; None where they were cut from nobody.
    """

    images: int
    chance: float
    first: int
    first_p: float
    few: float
    few_p: float
    tied: int
    tied_p: float
    matched: int | None


def reidentify(
    images: Similarities,
    probes: Similarities,
    owners: Sequence[int],
    groups: MemberLabels,
    seed: int,
    *,
    sources: Sequence[int] | None = None,
) -> dict[str, Reidentification]:
    """Run the attack by each measure of similarity.

    Args:
        images: of the package's images, over both groups.
        probes: of one patch of each held-out patient, over the same patients.
        owners: whose patch each probe is.
        sources: whose patch each image is, where they are real (the control).
    """
    exchanged = permutations(groups, seed)
    # Rows are in order of groups, so that ties are broken by chance, for all images alike.
    shuffled = stream(seed, "anonymity", "ties").permutation(len(groups.member))
    found = {}
    for measure, similar in images.best.items():
        order = shuffled[np.argsort(-similar[shuffled], axis=0, kind="stable")]  # of each image, the nearest row first
        first, few = order[0], order[: min(FEW, len(order))]  # (images,) and (FEW, images) rows of patients
        trained = groups.member[few].mean()
        stands_out = np.where(groups.member[first], leads(similar), 0.0)
        # How far the nearest other patient of a real patch stands out.
        own_rows = [images.patients.index(owner) for owner in owners]
        yardstick = leads(_without(probes.best[measure], own_rows))
        matched = None
        if sources is not None:
            matched = sum(images.patients[row] == source for row, source in zip(first, sources, strict=True))
        found[measure] = Reidentification(
            images=similar.shape[1],
            chance=float(groups.member.mean()),
            first=int(groups.member[first].sum()),
            first_p=p_value(groups.member[first].mean(), exchanged[:, first].mean(1)),
            few=float(trained),
            few_p=p_value(trained, exchanged[:, few.ravel()].mean(1)),
            tied=int((stands_out > yardstick.max()).sum()),
            tied_p=higher_p(stands_out, yardstick, seed),
            matched=matched,
        )
    return found


def leads(similar: np.ndarray) -> np.ndarray:
    """(images,) lead of the nearest patient over the second, in standard deviations of all but the nearest.

    Args:
        similar: (patients, images).
    """
    ordered = np.sort(similar, axis=0)
    lead: np.ndarray = (ordered[-1] - ordered[-2]) / np.maximum(ordered[:-1].std(0), 1e-6)
    return lead


def _without(similar: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """(patients - 1, images): similarities (patients, images) without the patient that each image is of.

    Args:
        rows: (images,) that patient's row.
    """
    columns = [np.delete(similar[:, column], row) for column, row in enumerate(rows)]
    return np.stack(columns, axis=1)
