"""Kernel ridge regression where features are the pixels and the solution can be written down."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sldd.distillation.alternatives.kernel_ridge import KernelRidge, _Pooled, ridge_predictions
from sldd.distillation.alternatives.settings import MatchSettings
from sldd.rng import stream


def _learner(**match: object) -> KernelRidge:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.Linear(2, 2))
    network[1].weight.data.copy_(torch.eye(2))
    network[2].weight.data.copy_(torch.tensor([[1.0, -0.5], [0.3, 0.8]]))
    network[2].bias.data.zero_()
    images = torch.eye(2).view(1, 2, 1, 1, 2)
    return KernelRidge(
        network, images, torch.eye(2), classes=[0, 1], learned=("images", "labels"), inner_lr=0.1, seed=0,
        match=MatchSettings(networks="start", **match), device=torch.device("cpu"),
    )  # fmt: skip


def test_loss_and_label_gradient_by_hand() -> None:
    images, labels = torch.eye(2).view(2, 1, 1, 2).requires_grad_(), torch.eye(2).requires_grad_()
    real, classes = torch.tensor([2.0, 0.0]).view(1, 1, 1, 2), torch.tensor([0])
    loss, by_images, by_labels = _learner()._matched(images, labels, real, classes)
    # K_ss = I and K_ts = (2, 0): the prediction is 2 (1/2, -1/2), which is (1/2, -1/2) too much.
    assert loss == pytest.approx(0.25, abs=1e-5)
    assert torch.allclose(by_labels, torch.tensor([[1.0, -1.0], [0.0, 0.0]]), atol=1e-4)
    assert by_images.any()


def test_a_strong_ridge_predicts_nothing_and_a_weak_one_the_labels() -> None:
    features = torch.from_numpy(stream(0, "features").standard_normal((4, 6), "float32"))
    labels = torch.eye(4)
    assert torch.allclose(ridge_predictions(features, features, labels).float(), labels, atol=1e-4)
    assert ridge_predictions(features, features, labels, ridge=1e6).abs().max() < 1e-4


def test_the_pool_learns_as_adam_does_and_is_drawn_anew() -> None:
    weight = torch.tensor([1.0, -2.0])
    ours, theirs = _Pooled([weight.clone()], 9), weight.clone().requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.1)
    for number in range(3):
        gradient = torch.tensor([0.5, -1.0 + number])
        ours.learn([gradient], 0.1)
        theirs.grad = gradient
        adam.step()
    assert torch.allclose(ours.weights[0], theirs)

    learner, other = _learner(pool=1, pool_updates=9), _learner(pool=1, pool_updates=9)
    for each in (learner, other):
        each._pool.append(each._new())
    real, classes = torch.eye(2).view(2, 1, 1, 2), torch.tensor([0, 1])
    learner.step(real, classes, 0.5)  # the network learns from the images that the step led to
    other._follow(learner._learned["images"].flatten(0, 1), learner._learned["labels"].flatten(0, 1))
    assert torch.equal(learner._pool[0].weights[0], other._pool[0].weights[0])
    assert not torch.equal(learner._pool[0].weights[0], other._new().weights[0]), (
        "it has learned, and is not drawn anew"
    )

    learner = _learner(pool=2, pool_updates=1)
    real, classes = torch.eye(2).view(2, 1, 1, 2), torch.tensor([0, 1])
    for _ in range(3):
        learner.step(real, classes, 0.01)
    assert learner.state_dict()["drawn"] == 5  # two at first, and each after its only step


def test_the_pool_holds_networks_of_all_ages_from_the_beginning() -> None:
    learner = _learner(pool=4, pool_updates=10)
    assert [learner._new().limit for _ in range(6)] == [2, 5, 7, 10, 10, 10]
    assert [_learner(pool=4, pool_updates=1)._new().limit for _ in range(2)] == [1, 1]


def test_images_without_a_feature_predict_nothing() -> None:
    found = ridge_predictions(torch.ones(3, 2), torch.zeros(4, 2), torch.ones(4, 3))
    assert torch.equal(found, torch.zeros(3, 3, dtype=torch.float64))
