"""Every method on digits: what a run costs is its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.distillation.methods import main
from sldd.distillation.alternatives.experts import ExpertBuffer


def test_each_run_makes_its_own_experts(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[int] = []
    make = ExpertBuffer._make

    def counted(self: ExpertBuffer, number: int) -> Iterator[torch.Tensor]:
        made.append(number)
        return make(self, number)

    monkeypatch.setattr(ExpertBuffer, "_make", counted)
    experts = {"count": 1, "snapshots": 2, "every": 1, "latest": 1, "student_epochs": 1, "batch_size": 10}
    settings = [f"match.experts.{name}={value}" for name, value in experts.items()]
    command = [
        "--data", str(digits), "--methods", "mtt", "--images", "1", "--seeds", "1", "--starts", "0", "--steps", "2",
        "--batch", "10", "--backbone", "lenet", "--set", f"data.cache={tmp_path / 'cache'}", *settings,
    ]  # fmt: skip
    for _ in range(2):
        assert main(command) == 0
    assert made == [0, 0]
    assert "| mtt | 1 | " in capsys.readouterr().out


def test_what_is_not_there_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--methods", "dm", "--images", "1", "--seeds", "1"]) == 2
    assert "name their folder with --data" in capsys.readouterr().err
