"""Core sets on points of which the right choice can be seen."""

from __future__ import annotations

import torch
from torch import nn

from sldd.backbones.features.embedding import Embedding
from sldd.distillation.alternatives.core_sets import core_set, herding, k_center

POINTS = torch.tensor([[0.0], [1.0], [2.0], [3.0], [14.0]])
"""Their mean is 4."""


def test_herding_approaches_the_mean() -> None:
    # 3 is nearest 4; 3 + 2 over two is 2.5 and 3 + 14 over two 8.5; then (3 + 2 + 14) / 3 = 6.33 and 3 + 2 + 1 is 2.
    assert herding(POINTS, 1) == [3]
    assert herding(POINTS, 2) == [3, 2]
    assert sorted(herding(POINTS, 5)) == [0, 1, 2, 3, 4], "none twice"


def test_k_center_leaves_none_far_away() -> None:
    assert k_center(POINTS, 3) == [3, 4, 0]
    assert sorted(k_center(POINTS, 5)) == [0, 1, 2, 3, 4]


def test_each_class_is_chosen_from_by_itself() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Linear(1, 2))
    network[1].weight.data.fill_(2.0)
    images = torch.cat([POINTS, -POINTS]).view(10, 1, 1, 1)
    chosen = core_set(k_center, network, images, [0] * 5 + [1] * 5, [1, 0, 1])
    assert chosen.flatten().tolist() == [-3.0, 3.0, -14.0]


def test_features_are_what_the_last_layer_is_given() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    weights = [parameter.detach() * 2 for parameter in network.parameters()]
    images = torch.tensor([[[[1.0, -2.0]]], [[[0.5, 3.0]]]])
    features = Embedding(network)(weights, images)
    assert torch.equal(features, (images.flatten(1) @ weights[0].T + weights[1]).relu())
