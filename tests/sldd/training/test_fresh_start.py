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


def test_no_batch_has_an_image_alone() -> None:
    """257 images, a step of which batch norm would refuse where it saw one value a channel."""
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2), nn.Linear(2, 2))
    initialise(network, 0)
    images, labels = torch.randn(1, 257, 1, 1, 2, generator=torch.Generator().manual_seed(0)), torch.ones(1, 257, 2)
    train_fresh(network, images, labels, settings=FreshSettings(steps=4), seed=0)
    assert [len(next(batches)) for batches in [_batches(257, 0)] for _ in range(4)] == [129, 128, 129, 128]


def test_batches_pass_over_all_images() -> None:
    batches = _batches(300, 0)
    first = [next(batches), next(batches)]
    assert [len(batch) for batch in first] == [150, 150]
    assert sorted(row for batch in first for row in batch) == list(range(300))
    assert list(next(batches)) != list(first[0])


def test_one_that_diverged_is_no_network() -> None:
    settings = FreshSettings(steps=40, rate=1e38)
    with pytest.raises(ValueError, match="training from a fresh start diverged: the loss is nan"):
        train_fresh(_network(), IMAGES, torch.eye(2)[None], settings=settings, seed=0)


def test_steps_are_gradient_descent_with_momentum_and_decay_at_a_tenth_of_the_rate_from_half_way() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    initialise(network, 0)
    images, wanted = IMAGES[0].flatten(1), torch.eye(2)
    weight, velocity = network[1].weight.detach().clone(), torch.zeros(2, 2)
    for rate in (0.5, 0.5, 0.05):
        wrong = (images @ weight.T).softmax(1) - wanted  # by hand: d loss / d logits
        velocity = 0.9 * velocity + wrong.T @ images / 2 + 5e-4 * weight
        weight = weight - rate * velocity
    train_fresh(network, IMAGES, torch.eye(2)[None], settings=FreshSettings(steps=3, rate=0.5), seed=0)
    assert torch.allclose(network[1].weight, weight, atol=1e-6)


def test_every_image_counts_alike_in_the_statistics() -> None:
    """257 images: batches of 256 and of one would give the last as much weight as all others."""
    images = torch.zeros(1, 257, 1, 1, 2)
    images[0, 256] = 100.0
    network = _network()
    train_fresh(network, images, torch.eye(2)[torch.arange(257) % 2][None], settings=FreshSettings(steps=1), seed=0)
    assert network[0].running_mean == pytest.approx(100 / 257, rel=0.01)
