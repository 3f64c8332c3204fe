"""Fresh starts and other networks of a confirm trial, from the command to the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from analysis.records.records import read_study
from analysis.tables.cross_network import cross_table
from sldd.backbones.registry import parameter_count
from sldd.ops.types import InputSpec
from sldd.training.fresh_start import FreshSettings
from sldd.training.losses import CROSS_ENTROPY
from study.config.tasks.patches import PATCHES
from study.grid.axes import Cell
from study.run import main
from study.trial import fresh
from study.trial.fresh import fresh_scores
from tests.study.command import TINY, Here


def test_confirm_trials_train_other_starts_and_networks(tmp_path: Path) -> None:
    study = Here(
        tmp_path / "out", "grid.backbone=[convnet_w32]", "grid.images=[3]", "grid.method=[random_real]",
        "outer.steps=2", "outer.evaluations=1", "search.trials=1", "evaluate={starts: 2, backbones: [lenet], steps: 4}",
    )  # fmt: skip
    assert study.status == 0, study.log.read_text()
    search, confirm = (json.loads(path.read_text()) for path in study.trials("result.json"))
    assert search["fresh"] == []
    found = [(row["backbone"], row["start"]) for row in confirm["fresh"]]
    assert found == [("convnet_w32", 0), ("convnet_w32", 1), ("lenet", 0), ("lenet", 1)]
    assert all(0 <= row["score"] <= 1 and row["loss"] > 0 for row in confirm["fresh"])
    assert len({row["loss"] for row in confirm["fresh"]}) == 4
    assert min(search["core_seconds"], confirm["core_seconds"]) > 0
    table = cross_table(read_study(study.folder))
    assert table is not None
    assert [column.heading for column in table.columns] == ["Cell", "convnet_w32", "lenet"]


CELL = Cell("convnet_w32", "sldd", "as_is", 2, "one_hot", 1, 1)


def _rows(score: Callable[[nn.Module], dict[str, Any]], *, retriable: bool = False) -> list[dict[str, Any]]:
    """Of a fresh start of two networks, scored as told."""
    data: Any = SimpleNamespace(input=InputSpec(16, ("I", "N", "P"), 0.0, 1.0), loss=CROSS_ENTROPY)
    state = {"images": torch.randn(1, 2, 1, 16, 16), "labels": torch.eye(3)[None, :2]}
    settings, cpu = FreshSettings(starts=1, backbones=["lenet"], steps=1), torch.device("cpu")
    return list(fresh_scores(CELL, state, data, PATCHES, settings, score, seed=0, device=cpu, retriable=retriable))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), MemoryError("out of memory")])
def test_out_of_memory_says_nothing_of_a_network_while_it_may_be_the_trials(error: Exception) -> None:
    def score(network: nn.Module) -> dict[str, Any]:
        if parameter_count(network) > 20_000:  # lenet's, and not convnet_w32's
            raise error
        return {"hm": 0.5}

    with pytest.raises(type(error)):
        _rows(score, retriable=True)
    fits, other = _rows(score)
    assert (fits["score"], other["error"], "score" in other) == (0.5, str(error), False)


@pytest.mark.parametrize("step", ["build_network", "train_fresh"])
def test_a_network_too_large_to_be_trained_leaves_its_row_at_once(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """However few patches are in memory at a time, it takes as much."""
    take = getattr(fresh, step)

    def too_large(what: Any, *given: Any, **named: Any) -> Any:
        made = take(what, *given, **named)
        if "lenet" in str(what) or (isinstance(what, nn.Module) and parameter_count(what) > 20_000):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return made

    monkeypatch.setattr(fresh, step, too_large)
    fits, other = _rows(lambda _: {"hm": 0.5}, retriable=True)
    assert (fits["score"], other["error"]) == (0.5, "CUDA out of memory")


def test_a_network_that_diverges_leaves_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> float:
        raise ValueError("training diverged after step 3\n")

    monkeypatch.setattr(fresh, "train_fresh", diverge)
    rows = _rows(lambda _: {"hm": 0.5}, retriable=True)
    assert [row["error"] for row in rows] == ["training diverged after step 3"] * 2


def test_a_network_that_there_is_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [*TINY, "evaluate={starts: 1, backbones: [lenett]}", "--out", str(tmp_path / "out")]
    assert main(given) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "there is no backbone 'lenett'" in said
