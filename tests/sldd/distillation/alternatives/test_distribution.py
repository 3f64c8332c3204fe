"""Distribution matching where the features are the pixels times two, and means can be worked out by hand."""

from __future__ import annotations

import torch
from torch import nn

from sldd.distillation.alternatives.distribution import DistributionMatching
from sldd.distillation.alternatives.matching import Networks, class_means
from sldd.distillation.alternatives.settings import MatchSettings
from sldd.distillation.image_learner import DistillSettings

PLAIN = MatchSettings(networks="start", augment=False)


def doubling() -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.Linear(2, 2))
    network[1].weight.data.copy_(2 * torch.eye(2))
    return network


def test_loss_and_gradient_by_hand() -> None:
    images = torch.tensor([[[[[1.0, 0.0]]], [[[0.0, 1.0]]]]])
    learner = DistributionMatching(
        doubling(), images, torch.eye(2), classes=[0, 1], match=PLAIN, inner_lr=0.1, learned=("images",),
        settings=DistillSettings(average=0.0), seed=0, device=torch.device("cpu"),
    )  # fmt: skip
    real = torch.tensor([[3.0, 0.0], [0.0, 1.0], [5.0, 0.0]]).view(3, 1, 1, 2)
    made, labels = images[0].clone().requires_grad_(), torch.eye(2)
    loss, gradient, none = learner._matched(made, labels, real, torch.tensor([0, 1, 0]))
    # Class 0: features of means (4, 0) and (1, 0) are (8, 0) and (2, 0). Class 1 is there already.
    assert loss == 36.0
    assert gradient.flatten().tolist() == [2 * (2 - 8) * 2.0, 0.0, 0.0, 0.0]
    assert not none.any()
    before = learner.state()["images"].clone()
    assert learner.step(real, torch.tensor([0, 1, 0]), 0.01) == 36.0
    # Adam's first step is its rate.
    assert torch.allclose(learner.state()["images"] - before, torch.tensor([0.01, 0, 0, 0]).view_as(before), atol=1e-6)


def test_statistics_of_batch_norm_are_measured_however_they_are_kept_elsewhere() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(2, 2))
    learner = DistributionMatching(
        network, torch.zeros(1, 2, 1, 1, 2), torch.eye(2), classes=[0, 1], match=PLAIN, inner_lr=0.1, seed=0,
        learned=("images",), settings=DistillSettings(average=0.0), track_statistics=True, device=torch.device("cpu"),
    )  # fmt: skip
    real = 3 + 2 * torch.randn(64, 1, 1, 2, generator=torch.Generator().manual_seed(0))
    learner.step(real, torch.tensor([0, 1] * 32), 0.01)
    found = learner.theta_bn(learner.weights(learner.state()), [real])
    assert torch.allclose(found["0.running_mean"], torch.tensor([3.0]), atol=0.5)
    assert torch.allclose(found["0.running_var"], torch.tensor([4.0]), atol=1.0)


def test_means_of_classes() -> None:
    rows = torch.tensor([[1.0], [3.0], [10.0]])
    assert class_means(rows, torch.tensor([2, 2, 0]), torch.tensor([0, 1, 2])).tolist() == [[10.0], [0.0], [2.0]]


def test_networks_are_drawn_anew_and_again() -> None:
    networks = Networks(doubling(), 0)
    first, other, again = networks(0), networks(1), networks(0)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    own = Networks(doubling(), 0, start=True)
    assert torch.equal(own(3)[0], 2 * torch.eye(2))


class _Scaled(nn.Module):
    """A layer scale, of one value as it is built."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((2,), 1e-6))
        self.layer = nn.Linear(2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layer(images.flatten(1) * self.gamma)
        return scores


def test_networks_are_drawn_as_built_and_not_as_trained() -> None:
    trained = _Scaled()
    trained.gamma.data = torch.tensor([0.3, -0.2])
    gamma, weight, _ = Networks(trained, 0, blank=_Scaled())(0)
    assert torch.equal(gamma, torch.full((2,), 1e-6))
    assert not torch.equal(weight, trained.layer.weight)


def test_networks_lie_in_memory_as_the_one_that_is_matched_for() -> None:
    turned = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    weight, _ = Networks(turned, 0, blank=nn.Conv2d(4, 4, 3))(0)
    assert weight.stride() == turned.weight.stride() != nn.Conv2d(4, 4, 3).weight.stride()
