"""Core sets on points of which the right choice can be seen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sldd.backbones.features.embedding import Embedding
from sldd.distillation.alternatives.core_sets import core_set, herding, k_center
from sldd.rng import stream

POINTS = torch.tensor([[0.0], [1.0], [2.0], [3.0], [14.0]])


def test_herding_approaches_the_mean() -> None:
    """Of directions, in degrees: what is chosen points together where all do."""
    degrees = torch.tensor([0.0, 10.0, 30.0, 80.0])
    features = torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], 1)
    # All point to 29.3 degrees. Nearest is 30; with 30, 0 gives 15, 10 gives 20 and 80 gives 55.
    assert herding(features, 2) == [2, 1]
    assert sorted(herding(features, 4)) == [0, 1, 2, 3], "none twice"


def test_herding_looks_at_directions_only() -> None:
    features = torch.from_numpy(stream(0, "features").standard_normal((30, 5), "float32"))
    longer = features * torch.from_numpy(stream(0, "lengths").uniform(0.1, 10, (30, 1)).astype("float32"))
    assert herding(longer, 8) == herding(features, 8)


def test_k_center_leaves_none_far_away() -> None:
    assert k_center(POINTS, 3) == [3, 4, 0]
    assert sorted(k_center(POINTS, 5)) == [0, 1, 2, 3, 4]


def test_each_class_is_chosen_from_by_itself() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Linear(1, 2))
    network[1].weight.data.fill_(2.0)
    images = torch.cat([POINTS, -POINTS]).view(10, 1, 1, 1)
    chosen = core_set(k_center, network, images, [0] * 5 + [1] * 5, [1, 0, 1])
    assert chosen.flatten().tolist() == [-3.0, 3.0, -14.0]


def test_batch_norm_sees_each_class_in_every_batch() -> None:
    """Candidates come class after class where one has more than the others: 300 of the first, 60 of the second."""
    seen: list[tuple[int, float]] = []

    class Watched(nn.BatchNorm2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append((len(images), float((images > 2).float().mean())))
            return super().forward(images)

    network = nn.Sequential(Watched(1), nn.Flatten(), nn.Linear(1, 2), nn.Linear(2, 2))
    values = torch.from_numpy(stream(0, "values").standard_normal((360, 1, 1, 1), "float32")).clamp(-2, 2)
    classes = [number % 2 for number in range(120)] + [0] * 240
    images = values + 5 * torch.tensor(classes).view(-1, 1, 1, 1)
    core_set(herding, network, images, classes, [0, 1])
    assert [count for count, _ in seen] == [180, 180]
    assert [share for _, share in seen] == pytest.approx([1 / 6, 1 / 6], abs=0.06)


def test_features_belong_to_their_images_and_none_is_alone() -> None:
    """257 candidates are one more than a batch holds."""
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Linear(1, 2))
    network[2].weight.data.fill_(1.0)
    images = torch.zeros(257, 1, 1, 1)
    images[200], images[3] = 9.0, -9.0
    chosen = core_set(k_center, network, images, [0] * 257, [0] * 3)
    assert sorted(chosen.flatten().tolist()) == [-9.0, 0.0, 9.0]


def test_features_are_what_the_last_layer_is_given() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    weights = [parameter.detach() * 2 for parameter in network.parameters()]
    images = torch.tensor([[[[1.0, -2.0]]], [[[0.5, 3.0]]]])
    features = Embedding(network)(weights, images)
    assert torch.equal(features, (images.flatten(1) @ weights[0].T + weights[1]).relu())
