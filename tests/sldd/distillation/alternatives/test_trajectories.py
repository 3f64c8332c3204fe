"""Trajectory matching against autograd through the student's steps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from sldd.distillation.alternatives.experts import ExpertBuffer
from sldd.distillation.alternatives.settings import ExpertSettings, MatchSettings
from sldd.distillation.alternatives.trajectories import TrajectoryMatching
from sldd.rng import stream
from sldd.training.siamese import siamese
from tests.sldd.distillation.alternatives.test_experts import Batches

EXPERTS = ExpertSettings(count=1, snapshots=3, every=4, rate=0.1, latest=1, span=3, student_epochs=2)


def _learner(network: nn.Module, images: torch.Tensor, *, augment: bool = True) -> TrajectoryMatching:
    buffer = ExpertBuffer(network, Batches(), EXPERTS, None, augment=augment)
    return TrajectoryMatching(
        network, images, torch.eye(2), classes=[0, 1], learned=("images", "labels"), inner_lr=0.1, seed=0,
        match=MatchSettings(experts=EXPERTS, augment=augment), experts=buffer, device=torch.device("cpu"),
    )  # fmt: skip


@pytest.mark.parametrize("augment", [False, True])
def test_loss_and_gradients_are_those_of_the_unrolled_student(augment: bool) -> None:
    """Augmented, each of its steps sees the images changed in another way."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    images = torch.from_numpy(stream(0, "images").standard_normal((2, 2, 1, 1, 2), "float32"))
    learner = _learner(network, images, augment=augment)
    labels = torch.eye(2).repeat(2, 1)
    nothing, leaves = torch.empty(0), [images.flatten(0, 1).requires_grad_(), labels.clone().requires_grad_()]
    loss, by_images, by_labels = learner._matched(*leaves, nothing, nothing)

    trajectory = learner.experts.trajectory(0)
    names = [name for name, _ in network.named_parameters()]
    first, last = (learner._parted(trajectory[place]) for place in (0, 3))
    x, y = images.clone().requires_grad_(), labels.view(2, 2, 2).clone().requires_grad_()
    log_rate = torch.tensor(0.1).log().requires_grad_()
    theta = [weight.requires_grad_() for weight in first]
    for step in range(4):
        seen = siamese(stream(0, "siamese", 0, step))(x[step % 2]) if augment else x[step % 2]
        logits = functional_call(network, dict(zip(names, theta, strict=True)), (seen,))
        inner = -(y[step % 2] * logits.log_softmax(1)).sum(1).mean()
        gradients = torch.autograd.grad(inner, theta, create_graph=True)
        theta = [weight - log_rate.exp() * g for weight, g in zip(theta, gradients, strict=True)]
    length = sum((a - b).square().sum() for a, b in zip(first, last, strict=True)).detach()
    expected = sum((a - b).square().sum() for a, b in zip(theta, last, strict=True)) / length
    wanted = torch.autograd.grad(expected, [x, y, log_rate])
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    assert torch.allclose(by_images, wanted[0].flatten(0, 1), rtol=1e-3, atol=1e-6)
    assert torch.allclose(by_labels, wanted[1].flatten(0, 1), rtol=1e-3, atol=1e-6)
    assert float(learner._by_rate) == pytest.approx(float(wanted[2]), rel=1e-3)


def test_a_student_that_stays_is_as_far_away_as_the_expert_went() -> None:
    learner = _learner(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), torch.zeros(1, 2, 1, 1, 2))
    with torch.no_grad():
        learner._rate.fill_(-50.0)
    leaves = [torch.zeros(2, 1, 1, 2).requires_grad_(), torch.eye(2).requires_grad_()]
    loss, _, _ = learner._matched(*leaves, torch.empty(0), torch.empty(0))
    assert loss == pytest.approx(1.0)


def test_the_students_rate_is_learned_at_the_pace_of_rates_and_goes_on_where_it_was() -> None:
    images = torch.from_numpy(stream(0, "images").standard_normal((2, 2, 1, 1, 2), "float32"))
    network, nothing = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), torch.empty(0)
    learner, resumed = _learner(network, images), _learner(network, images)
    begun = float(learner._rate.detach())
    learner.step(nothing, nothing, 0.01)
    assert abs(float(learner._rate.detach()) - begun) == pytest.approx(0.01 * 3, rel=1e-3)  # rate_lr; Adam's first step
    learner.step(nothing, nothing, 0.01)
    resumed.load_state_dict(copy.deepcopy(learner.state_dict()))
    learner.step(nothing, nothing, 0.01)
    resumed.step(nothing, nothing, 0.01)
    assert torch.equal(learner._rate, resumed._rate)
    assert torch.equal(learner.state()["images"], resumed.state()["images"])
