"""Training on distilled images from a start nobody has seen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sldd.backbones.init import initialise
from sldd.training.fresh_start import FreshSettings, _batches, shares, train_fresh

IMAGES = torch.tensor([[[[[2.0, -1.0]]], [[[-1.0, 2.0]]]]])


def _network() -> nn.Module:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(2, 2))
    initialise(network, 0)
    return network


def test_it_learns_what_the_labels_say() -> None:
    for labels in (torch.eye(2)[None], torch.eye(2).flip(0)[None]):
        network = _network()
        loss = train_fresh(network, IMAGES, labels, settings=FreshSettings(steps=100, rate=0.1), seed=0)
        assert loss < 0.1
        assert torch.equal(network(IMAGES[0]).argmax(1), labels[0].argmax(1))
        assert torch.allclose(network[0].running_mean, IMAGES.mean().view(1))


def test_it_is_the_same_again_and_augmented_another() -> None:
    found = [
        train_fresh(_network(), IMAGES, torch.eye(2)[None], settings=FreshSettings(steps=5, augment=augment), seed=0)
        for augment in (False, False, True)
    ]
    assert found[0] == found[1] != found[2]


def test_labels_become_shares() -> None:
    labels = torch.tensor([[2.0, -1.0], [0.0, 0.0], [0.25, 0.75]])
    assert torch.allclose(shares(labels), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]]))


def test_batches_pass_over_all_images() -> None:
    batches = _batches(300, 0)
    first = [next(batches), next(batches)]
    assert [len(batch) for batch in first] == [256, 44]
    assert sorted(row for batch in first for row in batch) == list(range(300))
    assert list(next(batches)) != list(first[0])


def test_one_that_diverged_is_no_network() -> None:
    settings = FreshSettings(steps=40, rate=1e38)
    with pytest.raises(ValueError, match="training from a fresh start diverged: the loss is nan"):
        train_fresh(_network(), IMAGES, torch.eye(2)[None], settings=settings, seed=0)
