"""A run of a method on digits: what it costs is its own, and what diverges has no score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.distillation import method_run
from benchmarks.distillation.digit_data import DigitData, Parts
from benchmarks.distillation.digits import Digits, Predict, accuracy, read_digits
from benchmarks.distillation.method_run import Budget
from benchmarks.distillation.methods import main
from benchmarks.runs_file import RunsFile
from sldd.backbones.features.kept_features import FeatureBatches
from sldd.distillation.alternatives.experts import ExpertBuffer
from sldd.distillation.distill import Distillation
from sldd.rng import stream


@pytest.fixture
def few(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command's words for two steps of a small network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = "--images 1 --seeds 1 --starts 0 --steps 2 --batch 20 --backbone lenet"
    return ["--data", str(digits), *words.split(), "--out", str(tmp_path / "runs.jsonl"), "--methods"]


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    return RunsFile(tmp_path / "runs.jsonl").rows


def test_each_run_makes_its_own_experts_and_draws_nothing_else(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, drawn = [], []
    make, draw = ExpertBuffer._make, DigitData.draw

    def counted(self: ExpertBuffer, number: int) -> Iterator[torch.Tensor]:
        made.append(number)
        return make(self, number)

    def noted(self: DigitData, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        drawn.append(count)
        return draw(self, random, count)

    monkeypatch.setattr(ExpertBuffer, "_make", counted)
    monkeypatch.setattr(DigitData, "draw", noted)
    experts = {"count": 1, "snapshots": 2, "every": 1, "latest": 1, "student_epochs": 1, "batch_size": 10}
    settings = [f"match.experts.{name}={value}" for name, value in experts.items()]
    assert main([*few, "mtt", "--seeds", "2", "--set", *settings]) == 0
    assert made == [0, 0]
    assert set(drawn) == {10}, "batches of steps, which experts have seen to, are for nobody"
    assert "| mtt | 1 | 30 | " in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_a_last_layer_learns_from_features(few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[torch.Size] = []
    get = FeatureBatches.get

    def noted(self: FeatureBatches, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        features, classes = get(self, number)
        given.append(features.shape)
        return features, classes

    monkeypatch.setattr(FeatureBatches, "get", noted)
    assert main([*few, "sldd", "--set", "distill.inner_weights=head"]) == 0
    assert [len(shape) for shape in given] == [2, 2]
    assert rows(tmp_path)[0]["error"] is None


def test_controls_and_distilled_images_are_scored_alike(few: list[str], tmp_path: Path) -> None:
    assert main([*few, "random_real_hard", "k_center", "sldd", "--starts", "1", "--fresh-steps", "2"]) == 0
    for row in rows(tmp_path):
        assert (row["steps"], row["error"], len(row["fresh"])) == (2, None, 1)
        assert 0 <= row["known"] <= 1


def test_a_run_that_diverges_is_kept_and_the_next_one_begins(
    few: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main([*few, "sldd", "dd", "--steps", "5", "--outer-lr", "1e30", "--starts", "1"]) == 0
    found = rows(tmp_path)
    assert [row["method"] for row in found] == ["sldd", "dd"]
    for row in found:
        assert (row["known"], row["fresh"]) == (None, [])
        assert "not finite" in row["error"] or "the loss is" in row["error"]
    assert capsys.readouterr().out.count("| - | - | 1 of 1 runs |") == 4


def test_a_fresh_start_that_diverges_costs_itself(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = method_run.train_fresh

    def failing(network: torch.nn.Module, *given: Any, seed: int, **others: Any) -> float:
        if seed == 1000:
            raise ValueError("training from a fresh start diverged")
        found = train(network, *given, seed=seed, **others)
        if seed == 1001:
            next(network.parameters()).data.fill_(torch.nan)  # in its last step, of which no loss is left
        return found

    monkeypatch.setattr(method_run, "train_fresh", failing)
    assert main([*few, "sldd", "--starts", "3", "--fresh-steps", "2"]) == 0
    (row,) = rows(tmp_path)
    assert row["fresh"][:2] == [None, None]
    assert 0 <= row["fresh"][2] <= 1
    assert (row["error"], row["known"] is None) == (None, False)


def test_what_is_no_number_is_no_class() -> None:
    digits = Digits(torch.zeros(4, 1, 28, 28), torch.tensor([0, 1, 0, 1]))
    logits = torch.tensor([1.0, *[0.0] * 9]).expand(4, 10)
    assert accuracy(lambda images: logits, digits) == 0.5
    with pytest.raises(ArithmeticError, match="logits are not finite"):
        accuracy(lambda images: torch.full((4, 10), torch.nan), digits)


def test_a_run_takes_the_steps_that_fit_into_its_core_seconds(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))  # a second between two looks at it
    rates: list[float] = []
    step = Distillation.step

    def noted(self: Distillation, inputs: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        rates.append(rate)
        return step(self, inputs, classes, rate)

    monkeypatch.setattr(Distillation, "step", noted)
    monkeypatch.setattr(method_run, "time", SimpleNamespace(process_time=lambda: next(clock)))
    words = [word for word in few if word not in ("--steps", "2")]
    assert main([*words, "sldd", "--seconds", "4", "--outer-lr", "0.5"]) == 0
    assert rates == pytest.approx([0.25 * (1 + math.cos(math.pi * share)) for share in (0.25, 0.5, 0.75)])
    (row,) = rows(tmp_path)
    assert (row["seconds"], row["core_seconds"], row["steps"]) == (4, 4, 3), "of which one made the learner"


def test_a_run_takes_one_step_at_least(few: list[str], tmp_path: Path) -> None:
    words = [word for word in few if word not in ("--steps", "2")]
    assert main([*words, "herding", "--seconds", "1e-9"]) == 0
    (row,) = rows(tmp_path)
    assert (row["steps"], row["error"]) == (1, None)
    assert row["core_seconds"] > row["seconds"]


def test_a_budget_is_of_seconds_or_of_steps() -> None:
    budget = Budget(core_seconds=None, outer_steps=4)
    budget.steps = 1
    with budget.clock():
        sum(range(1000))
    assert budget.share == 0.25
    assert budget.seconds > 0


def test_a_digit_is_told_whatever_is_beside_it(few: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch norm takes the statistics of training digits, not those of the digits that are scored."""
    apart: list[float] = []

    def compared(predict: Predict, digits: Digits) -> float:
        with torch.no_grad():
            apart.append(float((predict(digits.images[:4])[:1] - predict(digits.images[:1])).abs().max()))
        return accuracy(predict, Digits(digits.images[:100], digits.classes[:100]))

    monkeypatch.setattr(method_run, "accuracy", compared)
    assert main([*few, "sldd", "--steps", "1", "--backbone", "test_resnet"]) == 0
    assert max(apart) < 1e-4


def test_digits_are_drawn_and_told_as_whole_films_are(digits: Path) -> None:
    data = Parts.of(read_digits(digits)).train
    drawn = {tuple(data.draw(stream(seed, "batch"), 15)[1].tolist()) for seed in range(8)}
    assert len(drawn) > 1, "which classes are there once more changes from batch to batch"
    assert data.image_classes(data.initial_labels("uniform", 12, 0)) == [*range(10), 0, 1]
    assert data.image_classes(torch.eye(10).flip(0)) == [*reversed(range(10))]
