"""All attacks on a package's images, and controls that show whether the attacks work.

The controls go through the same pass over the same films: real patches of training patients in the images' place, which
have to be found, and noise, which must not be.
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
        for label, sides in _sides(self.groups).items():
            for part, count in zip(("training", "held-out"), sides, strict=True):
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
        found = MemberLabels(np.arange(len(self.patients)) < len(self.training), self.views.labels[self.patients])
        return _together(_together(found)) if self.views.rare_together else found


def _sides(groups: MemberLabels) -> dict[int, tuple[int, int]]:
    """How many of each label trained, and how many did not."""
    counts = {label: np.bincount(groups.member[groups.labels == label], minlength=2) for label in set(groups.labels)}
    return {int(label): (int(trained), int(others)) for label, (others, trained) in counts.items()}


def _together(groups: MemberLabels) -> MemberLabels:
    """Labels of whom a side has fewer than ``FEWEST`` as one; one alone as the commonest of the others."""
    sides = _sides(groups)
    rare = [label for label, counts in sides.items() if min(counts) < FEWEST]
    others = [label for label in sides if label not in rare]
    if not rare or (len(rare) == 1 and not others):
        return groups
    target = rare[0] if len(rare) > 1 else max(others, key=lambda label: sum(sides[label]))
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
    similar = most_alike(
        torch.cat([images.cpu().float(), real, noise, probes]),
        views,
        candidates.patients,
        standardised(network, probes.to(device)),
        batch=batch,
        device=device,
    )
    count = len(images)
    beside = similar.of(slice(3 * count, None))
    subjects = {"package": None, "real": sources, "noise": None}
    found: dict[str, Any] = {}
    for number, (name, sources_known) in enumerate(subjects.items()):
        these = similar.of(slice(number * count, (number + 1) * count))
        near = nearest(these, beside, groups, seed)
        tied = reidentify(these, beside, owners, groups, seed, sources=sources_known)
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
    """So many training patients at random, each as often as the others, give or take one."""
    order = stream(seed, "anonymity", "sources").permutation(training).tolist()
    return [order[number % len(order)] for number in range(count)]
