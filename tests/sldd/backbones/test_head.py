"""Inner steps through the last layer only: the cut, the features that are kept, and exact gradients of the images."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from sldd.backbones.features.kept_features import FeatureBatches
from sldd.backbones.head import Head
from sldd.backbones.init import initialise
from sldd.backbones.norms import keep_no_statistics, measure_statistics
from sldd.backbones.registry import build
from sldd.data.prefetch import Batch
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import DistillSettings
from sldd.errors import InputError
from sldd.training.compute import ComputeSettings
from sldd.training.losses import soft_cross_entropy

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "path"),
    [("lenet", "11"), ("test_resnet", "fc"), ("test_vit", "head"), ("torchvision/squeezenet1_0", "classifier.1")],
)
def test_the_head_is_the_last_layer(name: str, path: str) -> None:
    network = build(name, input_size=32)
    initialise(network, 0)
    keep_no_statistics(network)
    head = Head(network)
    own = dict(network.named_parameters())
    assert [id(parameter) for parameter in head.layer.parameters()] == [
        id(own[f"{path}.{part}"]) for part in ("weight", "bias")
    ]
    if "squeezenet" not in name:
        images = torch.randn(4, 1, 32, 32)
        head.check(images)
        assert torch.allclose(head.layer(head.features(images)), network(images), atol=1e-5)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)), "ends in 1, not in a layer of class scores"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)), "ends in 1, but does more after it"),
    ],
)
def test_a_network_without_a_head_is_refused(network: nn.Module, why: str) -> None:
    with pytest.raises(InputError, match=rf"inner_weights: the network {why}; use 'all'"):
        Head(network).check(torch.randn(2, 1, 8, 8))


class _Numbered:
    """Batch n holds the values 3 n, 3 n + 1, 3 n + 2, one of each class."""

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def get(self, number: int) -> Batch:
        self.drawn.append(number)
        return (torch.arange(3.0) + 3 * number)[:, None, None, None], torch.arange(3)

    def close(self) -> None:
        self.drawn.append(-1)


def test_features_are_kept_and_drawn_again_by_class() -> None:
    patches = _Numbered()
    batches = FeatureBatches(patches, lambda images: images.flatten(1) * 10, rows=7, seed=0)
    for number in range(3):  # three batches of three are the first to hold seven rows
        features, classes = batches.get(number)
        assert features.flatten().tolist() == [30 * number, 30 * number + 10, 30 * number + 20]
    seen = set()
    for number in range(3, 60):
        features, classes = batches.get(number)
        values = (features.flatten() / 10).long()
        assert (values % 3).tolist() == classes.tolist() == [0, 1, 2]
        seen |= set(values.tolist())
    assert seen == set(range(9))
    assert patches.drawn == [0, 1, 2, -1]
    resumed = FeatureBatches(_Numbered(), lambda images: images.flatten(1) * 10, rows=7, seed=0)
    assert torch.equal(resumed.get(40)[0], batches.get(40)[0])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_gradient_is_that_of_the_whole_network(name: str) -> None:
    """One outer step by plain gradient against autograd through everything, batch norm under fixed statistics."""
    network = build(name, input_size=32).double()
    initialise(network, 0)
    keep_no_statistics(network)
    draw = torch.Generator().manual_seed(0)
    images, real = (torch.randn(*n, 1, 32, 32, generator=draw, dtype=torch.float64) for n in ((2, 3), (12,)))
    measure_statistics(network, network, [real])
    classes = torch.arange(12) % 3
    learner = Distillation(
        network,
        images,
        torch.eye(3, dtype=torch.float64),
        epochs=2,
        inner_lr=0.3,
        settings=DistillSettings(inner_weights="head", rates="step", rate_unit="absolute"),
        compute=ComputeSettings(memory="keep"),
        seed=0,
        device=CPU,
    )
    moments = learner._adam
    learner.step(learner.inputs(real), classes, 1e-9)
    found = [moments.state[value]["exp_avg"] / 0.1 for value in (learner._learned[k] for k in ("images", "labels"))]

    x = images.requires_grad_()
    y = torch.eye(3, dtype=torch.float64).expand(2, 3, 3).clone().requires_grad_()
    theta = {name: value.detach() for name, value in network.named_parameters()}
    names = list(theta)[-2:]
    for _ in range(2):
        for step in range(2):
            theta = {k: v.requires_grad_() if k in names and not v.requires_grad else v for k, v in theta.items()}
            loss = soft_cross_entropy(functional_call(network, theta, (x[step],)), y[step])
            gradient = torch.autograd.grad(loss, [theta[k] for k in names], create_graph=True)
            theta = theta | {k: theta[k] - 0.3 * g for k, g in zip(names, gradient, strict=True)}
    outer = F.cross_entropy(functional_call(network, theta, (real,)), classes)
    for ours, exact in zip(found, torch.autograd.grad(outer, [x, y]), strict=True):
        assert (ours - exact).norm() <= 1e-5 * exact.norm()


class _Windowed(nn.Module):
    """Means over windows, of a size that no weight has: two of them look alike."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.size = size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fc(F.avg_pool2d(images, self.size)[:, 0, :2, :2].flatten(1))
        return scores


def test_networks_that_look_alike_and_compute_otherwise_keep_features_apart() -> None:
    prints = []
    for size in (2, 4, 2):
        network = _Windowed(size)
        initialise(network, 0)
        head = Head(network)
        head.check(torch.zeros(1, 1, 8, 8))
        prints.append(head.fingerprint())
    assert prints[0] == prints[2] != prints[1]
