"""Labels solved for the images at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import DistillSettings
from sldd.distillation.label_solver import FIRST_UPDATES, UPDATES, solved_labels
from sldd.distillation.unroll import Unroll
from sldd.errors import InputError
from sldd.rng import stream
from sldd.training.losses import CROSS_ENTROPY, WEIGHTED_BCE

HEAD = DistillSettings(inner_weights="head")
LAYERS = {
    "linear": lambda: nn.Linear(5, 3),
    "without bias": lambda: nn.Linear(5, 3, bias=False),
    "convolution": lambda: nn.Sequential(nn.Conv2d(5, 3, 1), nn.Flatten()),
}


def _normal(seed: int, name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(stream(seed, name).standard_normal(shape, "float32"))


class _Problem:
    """One inner step of a last layer on random features, and the outer loss on others."""

    def __init__(self, layer: str, *, images: int = 4, seed: int = 0) -> None:
        network = LAYERS[layer]()
        for number, weight in enumerate(network.parameters()):
            weight.data.copy_(_normal(seed, f"weight {number}", *weight.shape))
        self.unroll = Unroll(network)
        shape = (5, 1, 1) if layer == "convolution" else (5,)
        self.made, self.real = _normal(seed, "made", images, *shape), _normal(seed, "real", 30, *shape)
        self.labels = _normal(seed, "labels", images, 3)
        self.truth = torch.from_numpy(stream(seed, "truth").integers(3, size=30))
        self.rates = torch.linspace(0.5, 1.0, len(self.unroll.names))

    def loss(self, labels: torch.Tensor) -> float:
        theta = self.unroll.steps(self.made[None], labels[None], self.rates[None, None], differentiable=False)
        return F.cross_entropy(self.unroll.forward(theta, self.real), self.truth).item()

    def slope(self, labels: torch.Tensor) -> torch.Tensor:
        """The outer loss by labels, through the adjoint."""
        theta = self.unroll.steps(self.made[None], labels[None], self.rates[None, None])
        leaves = [weight.detach().requires_grad_() for weight in theta]
        loss = F.cross_entropy(self.unroll.forward(leaves, self.real), self.truth)
        return self.unroll.backward(list(torch.autograd.grad(loss, leaves))).labels[0]

    def solved(self, labels: torch.Tensor, updates: int) -> torch.Tensor:
        given = {"made": self.made, "real": self.real, "truth": self.truth}
        return solved_labels(self.unroll.start, self.rates, labels=labels, updates=updates, **given)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_best_labels_have_no_gradient(layer: str) -> None:
    problem = _Problem(layer)
    assert problem.slope(problem.labels).abs().max() > 0.02
    solved = problem.solved(problem.labels, 5000)
    assert problem.slope(solved).abs().max() < 1e-5


@pytest.mark.parametrize("layer", LAYERS)
@given(seed=st.integers(0, 10**6), images=st.integers(1, 12))
def test_no_update_raises_the_loss_of_its_batch(layer: str, seed: int, images: int) -> None:
    """Of more images than features, too, whose best labels are not unique."""
    problem = _Problem(layer, images=images, seed=seed)
    labels, before = problem.labels, problem.loss(problem.labels)
    for _ in range(4):
        labels = problem.solved(labels, 1)
        after = problem.loss(labels)
        assert after <= before + 1e-5 * max(1.0, before)
        before = after


def test_one_rate_serves_weights_and_bias() -> None:
    one, each = _Problem("linear"), _Problem("linear")
    one.rates, each.rates = torch.tensor(0.7), torch.tensor([0.7, 0.7])
    assert torch.equal(one.solved(one.labels, 3), each.solved(each.labels, 3))


def test_solved_labels_add_up_to_one_and_stand_for_those_that_do_not() -> None:
    problem = _Problem("linear")
    same = problem.solved(problem.labels, 0)
    assert torch.allclose(same.sum(1), torch.ones(4), atol=1e-6)
    assert not torch.allclose(same, problem.labels, atol=0.1)
    assert problem.loss(same) == pytest.approx(problem.loss(problem.labels), abs=1e-5)


def test_images_without_features_have_nothing_to_solve() -> None:
    problem = _Problem("without bias")
    problem.made, labels = torch.zeros_like(problem.made), torch.eye(4)[:, :3].softmax(1)
    assert torch.allclose(problem.solved(labels, 3), labels)


def test_what_is_not_finite_stays_so() -> None:
    problem = _Problem("linear")
    problem.made[0, 0] = torch.nan
    assert problem.solved(problem.labels, 1).isnan().any()


def _learner(settings: DistillSettings = HEAD, **others: Any) -> Distillation:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
    for number, weight in enumerate(network.parameters()):
        weight.data.copy_(0.5 * _normal(1, f"weight {number}", *weight.shape))
    given: dict[str, Any] = {"inner_lr": 0.05, "seed": 0, "device": torch.device("cpu")} | others
    return Distillation(network, _normal(2, "images", 1, 3, 1, 4, 4), torch.eye(3), settings=settings, **given)


def _losses(learner: Distillation, steps: int = 60) -> list[float]:
    """Outer losses of classes that the sign of a pixel or two decides."""
    found = []
    for number in range(steps):
        images = _normal(3, f"batch {number}", 64, 1, 4, 4)
        classes = (images[:, 0, 0, 0] > 0).long() + (images[:, 0, 1, 1] > 0).long()
        found.append(learner.step(learner.inputs(images), classes, 0.02))
    return found


def test_images_learn_sooner_under_solved_labels() -> None:
    solved, followed = (_losses(_learner(replace(HEAD, label_update=how))) for how in ("solved", "gradient"))
    assert sum(solved[-10:]) < 0.95 * sum(followed[-10:])


def test_labels_that_may_be_far_off_are_solved_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def solve(*given: Any, updates: int, **others: Any) -> torch.Tensor:
        asked.append(updates)
        return solved_labels(*given, updates=updates, **others)

    monkeypatch.setattr("sldd.distillation.distill.solved_labels", solve)
    _losses(_learner(), 3)
    assert asked == [FIRST_UPDATES, UPDATES, UPDATES]


def test_auto_solves_where_that_can_be() -> None:
    assert _losses(_learner(), 5) == _losses(_learner(replace(HEAD, label_update="solved")), 5)
    several: dict[str, Any] = {"epochs": 2}
    auto, followed = (_learner(replace(HEAD, label_update=how), **several) for how in ("auto", "gradient"))
    assert _losses(auto, 5) == _losses(followed, 5)
    kept, plain = (_learner(replace(HEAD, label_update=how), learned=("images",)) for how in ("solved", "gradient"))
    assert _losses(kept, 5) == _losses(plain, 5), "labels that are not learned are not solved"


@pytest.mark.parametrize(
    ("settings", "others", "why"),
    [
        ({"inner_weights": "all"}, {}, "the inner step changes all weights"),
        ({}, {"epochs": 3}, "there are 3 inner steps"),
        ({"labels": "softmax"}, {}, "labels are softmax outputs"),
        ({}, {"loss": WEIGHTED_BCE}, "films have findings and no classes"),
        ({}, {"private": lambda *_: None, "loss": CROSS_ENTROPY}, "looks at patients through noise only"),
    ],
)
def test_where_labels_cannot_be_solved_a_line_says_so(
    settings: dict[str, Any], others: dict[str, Any], why: str
) -> None:
    with pytest.raises(InputError, match=f"^distill.label_update: labels cannot be solved where .*{why}"):
        _learner(replace(HEAD, label_update="solved", **settings), **others)
