"""All attacks on a package's images, and controls that show whether the attacks work.

The controls go through the same pass over the same films, in the place of the package's images: real patches of
training patients, which have to be found, and noise, which must not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from sldd.backbones.head import Head
from sldd.backbones.registry import build
from sldd.backbones.start import set_start
from sldd.errors import InputError
from sldd.privacy_attacks.group_test import MemberLabels
from sldd.privacy_attacks.nearest import nearest
from sldd.privacy_attacks.reidentification import reidentify
from sldd.privacy_attacks.similarity import Features, most_alike, standardised
from sldd.privacy_attacks.views import Views
from sldd.rng import stream

FEWEST = 3
"""Patients of each label on either side: with fewer no permutation and no yardstick says anything."""

MOST = 1_000
"""Patients on either side that are compared, drawn at random: every pair of them is."""

MOST_PROBES = 50
"""Held-out patients whose patches are looked at in the images' place: each costs as much as one more image."""


@dataclass(frozen=True)
class Candidates:
    """Patients that a package is attacked with.

    Attributes:
        views: standardised as its images are.
        training: who trained.
        held_out: who had no part in it, not even in choosing its state.

    Raises:
        InputError: too few of them.
    """

    views: Views
    training: list[int]
    held_out: list[int]

    def __post_init__(self) -> None:
        for label, counts in _counts_by_label(self.groups).items():
            for part, count in zip(("training", "held-out"), counts, strict=True):
                if count < FEWEST:
                    raise InputError(
                        f"{count} {self.views.names[label]} {part} patients are too few to tell anything; a study "
                        f"needs {FEWEST} of each label on either side (data.split)"
                    )

    @classmethod
    def drawn(cls, views: Views, training: Sequence[int], held_out: Sequence[int], seed: int) -> Candidates:
        """At most ``MOST`` of either side."""
        random = stream(seed, "anonymity", "candidates")
        sides = (sorted(random.permutation(side)[:MOST].tolist()) for side in (training, held_out))
        return cls(views, *sides)

    @property
    def patients(self) -> list[int]:
        """All candidates, those who trained first."""
        return [*self.training, *self.held_out]

    @cached_property
    def groups(self) -> MemberLabels:
        """Who of ``patients`` trained, and their labels, rare ones together where the views allow it."""
        found = MemberLabels(np.arange(len(self.patients)) < len(self.training), self.views.labels[self.patients])
        if not self.views.rare_together:
            return found
        # Rare labels together may still be rare: then the second time adds them to the commonest label.
        return _merge_rare_labels(_merge_rare_labels(found))


def _counts_by_label(groups: MemberLabels) -> dict[int, tuple[int, int]]:
    """Patients of each label: those who trained, and those who did not."""
    counts = {}
    for label in set(groups.labels):
        trained = groups.member[groups.labels == label]
        counts[int(label)] = int(trained.sum()), int((~trained).sum())
    return counts


def _merge_rare_labels(groups: MemberLabels) -> MemberLabels:
    """Groups in which all rare labels, with fewer than ``FEWEST`` patients on a side, are one label.

    A single rare label becomes the commonest of the others; it stays where there is no other.
    """
    counts = _counts_by_label(groups)
    rare = [label for label, sides in counts.items() if min(sides) < FEWEST]
    others = [label for label in counts if label not in rare]
    if not rare or (len(rare) == 1 and not others):
        return groups
    target = rare[0] if len(rare) > 1 else max(others, key=lambda label: sum(counts[label]))
    return MemberLabels(groups.member, np.where(np.isin(groups.labels, rare), target, groups.labels))


def feature_network(
    backbone: str, start: str, *, input_size: int, channels: int = 1, seed: int, device: torch.device
) -> Features:
    """(n, channels, side, side) -> inputs of a network's last layer.

    Args:
        start: as of ``sldd.backbones.start.set_start``; a random one is of a seed that no trial has.

    Raises:
        InputError: no such backbone or file, or a network without a last layer to cut off.
    """
    network = build(backbone, input_size=input_size, channels=channels)
    set_start(network, backbone=backbone, start=start, seed=seed + 2**31)
    return Head(network.to(device)).features


def look_alike(
    images: torch.Tensor, candidates: Candidates, network: Features, *, seed: int, batch: int, device: torch.device
) -> dict[str, Any]:
    """Nearest-view and re-identification attacks on a package's images and on the controls.

    Args:
        images: (images, channels, side, side) as the package has them.
        network: gives features; see ``feature_network``.

    Returns:
        ``nearest`` and ``reidentification`` by measure, ``controls`` with the same for ``real`` and ``noise`` images,
        and ``patches``, how many patches or images of each group were looked at.
    """
    views, groups = candidates.views.densely(), candidates.groups
    owners = candidates.held_out
    if len(owners) > MOST_PROBES:
        owners = stream(seed, "anonymity", "owners").choice(owners, MOST_PROBES, replace=False).tolist()
    probes = views.one_each(owners, seed)
    sources = _sources(candidates.training, len(images), seed)
    real = views.one_each(sources, seed + 1)
    noise = torch.from_numpy(stream(seed, "anonymity", "noise").standard_normal(images.shape, dtype="float32"))
    subjects = {"package": images.cpu().float(), "real": real, "noise": noise}  # equally many images each
    similar = most_alike(
        torch.cat([*subjects.values(), probes]),
        views,
        candidates.patients,
        standardised(network, probes.to(device)),
        batch=batch,
        device=device,
    )
    count = len(images)
    of_probes = similar.of(slice(len(subjects) * count, None))
    found: dict[str, Any] = {}
    for number, name in enumerate(subjects):
        of_subject = similar.of(slice(number * count, (number + 1) * count))
        near = nearest(of_subject, of_probes, groups, seed)
        cut_from = sources if name == "real" else None
        tied = reidentify(of_subject, of_probes, owners, groups, seed, sources=cut_from)
        found[name] = {
            "nearest": {measure: asdict(value) for measure, value in near.items()},
            "reidentification": {measure: asdict(value) for measure, value in tied.items()},
        }
    looked_at = {
        "training": int(similar.windows[groups.member].sum()),
        "held_out": int(similar.windows[~groups.member].sum()),
    }
    return found.pop("package") | {"controls": found, "patches": looked_at}


def _sources(training: Sequence[int], count: int, seed: int) -> list[int]:
    """``count`` training patients at random, each as often as the others, give or take one."""
    order = stream(seed, "anonymity", "sources").permutation(training).tolist()
    return [order[number % len(order)] for number in range(count)]
