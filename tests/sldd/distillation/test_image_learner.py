"""How what is learned moves: each at a pace of its own, and the average behind it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import DistillSettings
from sldd.rng import stream


def _normal(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(stream(0, name).standard_normal(shape, "float32"))


def _learner(**settings: Any) -> Distillation:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
    for number, weight in enumerate(network.parameters()):
        weight.data.copy_(0.5 * _normal(f"weight {number}", *weight.shape))
    images, given = _normal("images", 2, 3, 1, 4, 4), DistillSettings(**settings)
    return Distillation(
        network, images, torch.eye(3), epochs=2, inner_lr=0.05, settings=given, seed=0, device=torch.device("cpu")
    )


def _step(learner: Distillation, rate: float = 0.01) -> None:
    learner.step(_normal("real", 12, 1, 4, 4), torch.arange(12) % 3, rate)


def test_labels_and_the_logarithms_of_rates_are_learned_at_paces_of_their_own() -> None:
    learner = _learner(average=0.0, label_lr=2.0, rate_lr=5.0)
    before = {name: value.clone() for name, value in learner._learned.items()}
    _step(learner)
    moved = {name: float((value - before[name]).abs().max()) for name, value in learner._learned.items()}
    # Adam's first step is its rate.
    assert moved == pytest.approx({"images": 0.01, "labels": 0.02, "rates": 0.05}, rel=1e-3)


@pytest.mark.parametrize(("taken", "decay"), [(0, 2 / 11), (5, 7 / 16), (10**6, 0.98)])
def test_a_young_average_follows_quickly_and_an_old_one_by_its_decay(taken: int, decay: float) -> None:
    learner = _learner(average=0.98)
    begun = learner.state()["images"].clone()
    learner._taken = taken
    _step(learner)
    expected = decay * begun + (1 - decay) * learner._learned["images"]
    assert torch.allclose(learner.state()["images"], expected, atol=1e-6)


def test_with_a_window_a_step_stops_after_any_number_of_inner_steps_from_its_length_on() -> None:
    learner, stops = _learner(window=2), set[int | None]()
    for number in range(60):
        learner._taken = number
        stops.add(learner._stop())
    assert stops == {2, 3, 4}
    assert {learner._stop() for learner in (_learner(window=4), _learner(window=9), _learner())} == {None}
