"""Gradient matching, where angles can be seen and against differentiating twice by autograd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sldd.distillation.alternatives.gradients import GradientMatching, distance
from sldd.distillation.alternatives.settings import MatchSettings
from sldd.rng import stream
from sldd.training.siamese import siamese

CPU = torch.device("cpu")


def _normal(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(stream(0, name).standard_normal(shape, "float32"))


def _learner(
    network: nn.Module, images: torch.Tensor, classes: tuple[int, ...] = (0, 1), *, augment: bool = False, **match: int
) -> GradientMatching:
    return GradientMatching(
        network, images[None], torch.eye(max(classes) + 1)[list(classes)], classes=classes,
        learned=("images", "labels"), inner_lr=0.1, seed=0,
        match=MatchSettings(networks="start", augment=augment, **match), device=CPU,
    )  # fmt: skip


def test_distance_counts_directions_of_nodes() -> None:
    one = [torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([5.0, 5.0])]
    assert float(distance(one, one)) == pytest.approx(0.0, abs=1e-5)
    turned = [torch.tensor([[0.0, 3.0], [0.0, -1.0]]), torch.tensor([-5.0, 1.0])]
    assert float(distance(one, turned)) == pytest.approx(1.0 + 2.0)  # a right angle and the other way round


def test_loss_by_hand() -> None:
    """Of a linear network at zero the gradient is (p - y) x, so its rows have the direction of x, or the opposite."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    network[1].weight.data.zero_()
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 2)
    learner, labels, classes = _learner(network, images), torch.eye(2), torch.tensor([0, 1])
    made = images.clone().requires_grad_()
    loss, _, _ = learner._matched(made, labels.clone().requires_grad_(), images, classes)
    assert loss == pytest.approx(0.0, abs=1e-4)
    loss, _, _ = learner._matched(made, labels.clone().requires_grad_(), images.flip(0), classes)
    assert loss == pytest.approx(4.0, abs=1e-4)  # two nodes of two classes, at right angles


@pytest.mark.parametrize("norm", [False, True])
def test_gradients_are_those_of_autograd(norm: bool) -> None:
    layers = [nn.Conv2d(1, 3, 3), *([nn.BatchNorm2d(3, track_running_stats=False)] if norm else []), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(3 * 4, 2))
    images, real, labels = _normal("images", 2, 1, 4, 4), _normal("real", 6, 1, 4, 4), torch.eye(2)
    classes = torch.tensor([0, 1, 0, 1, 0, 1])
    learner = _learner(network, images)
    loss, *found = learner._matched(images.clone().requires_grad_(), labels.clone().requires_grad_(), real, classes)

    x, y = images.clone().requires_grad_(), labels.clone().requires_grad_()
    weights = [parameter.requires_grad_() for parameter in network.parameters()]
    total = torch.zeros(())
    for of in [[0, 1]] if norm else [[0], [1]]:
        rows = torch.isin(classes, torch.tensor(of))
        wanted = torch.autograd.grad(F.cross_entropy(network(real[rows]), classes[rows]), weights)
        inner = -(y[of] * network(x[of]).log_softmax(1)).sum(1).mean()
        total = total + distance(list(torch.autograd.grad(inner, weights, create_graph=True)), list(wanted))
    expected = torch.autograd.grad(total, [x, y])
    assert loss == pytest.approx(total.item(), rel=1e-4)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("norm", [False, True])
def test_copies_of_the_real_images_are_a_minimum_whatever_the_counts(norm: bool) -> None:
    """Two images of the first class, one of the others: real ones are of all classes alike."""
    layers = [nn.Conv2d(1, 3, 3), *([nn.BatchNorm2d(3, track_running_stats=False)] if norm else []), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(3 * 4, 3))
    of_class = _normal("means", 3, 1, 4, 4)
    made, classes = (0, 0, 1, 2), torch.tensor([2, 0, 1, 0, 2, 1, 1, 0, 2, 0, 1, 2])
    learner = _learner(network, of_class[list(made)], made)
    images, labels = of_class[list(made)].requires_grad_(), torch.eye(3)[list(made)].requires_grad_()
    loss, _, _ = learner._matched(images, labels, of_class[classes], classes)
    assert loss == pytest.approx(0.0, abs=1e-3)
    assert learner._alike(classes, torch.tensor(made)).tolist() == [0, 1, 2, 3, 4, 5, 7, 9]


def test_a_class_that_the_batch_lacks_leaves_the_others_in_proportion() -> None:
    alike = GradientMatching._alike(torch.tensor([0, 1, 0, 0, 1]), torch.tensor([0, 1, 2]))
    assert alike.tolist() == [0, 1, 2, 4]


def test_the_network_learns_from_augmented_images() -> None:
    learners = [
        _learner(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), _normal("images", 2, 1, 1, 2), redraw=3, augment=augment)
        for augment in (False, True)
    ]
    for learner in learners:
        learner._weights, learner._taken = [torch.ones(2, 2), torch.zeros(2)], 1
        learner._follow(learner._learned["images"][0], torch.eye(2))
    weight, bias = torch.ones(2, 2), torch.zeros(2)
    for step in range(10):  # network_steps
        x = siamese(stream(0, "siamese", 1, step))(learners[1]._learned["images"][0]).flatten(1)
        wrong = (x @ weight.T + bias).softmax(1) - torch.eye(2)
        weight, bias = weight - 0.01 * wrong.T @ x / 2, bias - 0.01 * wrong.mean(0)
    assert torch.allclose(learners[1]._weights[0], weight, atol=1e-6)
    assert not torch.allclose(learners[0]._weights[0], weight, atol=1e-4)


def test_the_network_learns_until_it_is_drawn_anew() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    learner = _learner(network, _normal("images", 2, 1, 1, 2), redraw=3, network_steps=2, network_lr=0.5)
    real, classes, seen = _normal("real", 4, 1, 1, 2), torch.tensor([0, 1, 0, 1]), []
    for _ in range(4):
        learner.step(real, classes, 0.01)
        seen.append(learner._weights[0].clone())
        if len(seen) == 1:
            state, by_hand = learner._inner_inputs(learner._learned), [p.detach() for p in network.parameters()]
            for _ in range(2):  # network_steps
                weight, bias = (part.clone().requires_grad_() for part in by_hand)
                logits = state["images"][0].flatten(1) @ weight.T + bias
                loss = -(state["labels"][0] * logits.log_softmax(1)).sum(1).mean()
                parts = torch.autograd.grad(loss, [weight, bias])
                by_hand = [part - 0.5 * g for part, g in zip(by_hand, parts, strict=True)]
            assert torch.allclose(seen[0], by_hand[0], atol=1e-6)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])  # the third does not learn: it is the last
    assert torch.equal(learner.state_dict()["network"][0], seen[3])
