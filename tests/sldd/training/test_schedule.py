"""The outer loop's schedule, history and patience, by a learner that only counts its steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from sldd.data.split import Split
from sldd.training.outer_loop import OuterLoop
from sldd.training.outer_settings import OuterSettings
from tests.sldd.training.resuming import finish

SPLIT = Split(train=[0, 1], validation=[2, 3], test=[4])


class _Counting:
    """A learner whose state and loss are the number of its steps."""

    network, memory = nn.Linear(1, 1), None

    def __init__(self) -> None:
        self.rates: list[float] = []

    def begin(self, batches: Any, real: object) -> Any:
        return batches

    def step(self, inputs: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        self.rates.append(rate)
        return float(len(self.rates))

    def state(self) -> dict[str, torch.Tensor]:
        return {"steps": torch.tensor([float(len(self.rates))])}

    learned = state

    def weights(self, state: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        return list(state.values())

    def theta_bn(self, weights: object, real: object) -> dict[str, torch.Tensor]:
        return {}

    def logits(self, weights: object, inputs: torch.Tensor) -> torch.Tensor:
        return inputs

    seen = None


class _Keys:
    """An evaluator that gives these keys, one after the other."""

    def __init__(self, keys: Sequence[float]) -> None:
        self.keys, self.asked = iter(keys), set[tuple[int, ...]]()

    def score(self, predict: object, patients: Sequence[int], **_: object) -> Any:
        self.asked.add(tuple(patients))
        key = next(self.keys)
        return SimpleNamespace(key=(key, 0.0, 0.0), headline=key, history=lambda: {"val_key": key})


class _Batches:
    def draw(self, random: object, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(count, 1, 2, 2), torch.zeros(count, dtype=torch.int64)


def _loop(settings: OuterSettings, keys: Sequence[float], *, last: bool = False) -> OuterLoop:
    learner: Any = _Counting()
    evaluator, batches, device = _Keys(keys), _Batches(), torch.device("cpu")
    return OuterLoop(learner, evaluator, batches, SPLIT, settings, rate=0.4, seed=0, device=device, last=last)


def test_the_outer_rate_falls_to_zero_along_half_a_cosine() -> None:
    loop = finish(_loop(OuterSettings(steps=4, batch_size=3, evaluations=1), [1.0]))
    rates = vars(loop.learner)["rates"]
    assert rates == pytest.approx([0.4, 0.2 * (1 + math.sqrt(0.5)), 0.2, 0.2 * (1 - math.sqrt(0.5))])


def test_each_entry_of_the_history_has_the_mean_loss_since_the_last_one() -> None:
    loop = finish(_loop(OuterSettings(steps=6, batch_size=3, evaluations=3), [1.0, 2.0, 3.0]))
    found = [(entry["step"], entry["loss"], entry["val_key"]) for entry in loop.progress.history]
    assert found == [(2, 1.5, 1.0), (4, 3.5, 2.0), (6, 5.5, 3.0)]


def test_patience_ends_a_run_after_as_many_evaluations_and_validation_patients_choose_the_state() -> None:
    keys = [1.0, 3.0, 3.0, 2.0, 9.0]
    loop = finish(_loop(OuterSettings(steps=20, batch_size=3, evaluations=10, patience=2), keys))
    assert loop.best is not None
    assert (loop.best.step, loop.progress.step) == (4, 8), "as good is no better"
    assert loop.best.state["steps"] == 4
    assert vars(loop)["_evaluator"].asked == {(2, 3)}


def test_where_the_last_state_is_kept_nothing_ends_a_run_early() -> None:
    settings = OuterSettings(steps=5, batch_size=3, evaluations=5, patience=2)
    loop = finish(_loop(settings, [5.0, 4.0, 3.0, 2.0, 1.0], last=True))
    assert loop.best is not None
    assert (loop.best.step, loop.best.score) == (5, 1.0)
