"""Fresh starts and other networks of a confirm trial, from the command to the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.records.records import read_study
from analysis.tables.cross_network import cross_table
from study.run import main
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


def test_a_network_that_there_is_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [*TINY, "evaluate={starts: 1, backbones: [lenett]}", "--out", str(tmp_path / "out")]
    assert main(given) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "there is no backbone 'lenett'" in said
