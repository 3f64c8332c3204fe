"""Studies that build on others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sldd.errors import InputError
from study.config.loader import load
from study.config.presets import read


def test_a_base_is_built_on(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("base: demo\npatches: {stride: 4}\ngrid: {backbone: [resnet18]}\n")
    (tmp_path / "more.yaml").write_text("base: ours.yaml\nsearch: {trials: 9}\n")
    config = load(str(tmp_path / "more.yaml"), ["outer.steps=3"])
    assert config.name == "more"
    assert (config.patches.stride, config.patches.size) == (4, 48)
    assert config.search.trials == 9
    assert config.outer.steps == 3
    assert (config.grid[0].backbone, config.grid[0].images) == (["resnet18"], [1, 2, 3])


def test_bases_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml")
    (tmp_path / "b.yaml").write_text("base: a.yaml")
    with pytest.raises(InputError, match=r"base leads from .*a\.yaml to .*b\.yaml and back"):
        read(str(tmp_path / "a.yaml"), [])


def test_a_circle_is_seen_however_its_paths_are_spelled(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.yaml").write_text("base: ../x/a.yaml")
    with pytest.raises(InputError, match=r"base leads from .*a\.yaml and back"):
        read(str(tmp_path / "x" / "a.yaml"), [])


def test_a_name_too_long_for_a_file_is_a_line() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(f"{'x' * 300}.yaml", [])


def test_a_grid_takes_the_blocks_of_other_studies(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("base: demo\ngrid: {backbone: [a], images: [1]}")
    (tmp_path / "two.yaml").write_text("grid: [{backbone: [b], images: [2]}, {backbone: [c], images: [3]}]")
    (tmp_path / "all.yaml").write_text("grid: [one.yaml, {backbone: [d], images: [4]}, two.yaml]")
    config = load(str(tmp_path / "all.yaml"), ["grid.norm=none"])
    assert [block.backbone for block in config.grid] == [["a"], ["d"], ["b"], ["c"]]
    assert all(block.norm == ["none"] for block in config.grid), "a setting reaches every block"


def test_mistakes_in_a_block_are_named(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text("grid: [{backbone: [a], images: [1]}, {backbone: [b], images: [0]}]")
    with pytest.raises(InputError, match=r"grid\.1\.images\.0: input should be greater"):
        load(str(tmp_path / "all.yaml"), [])
    (tmp_path / "all.yaml").write_text("grid: [{backbone: [a], imagos: [1]}]")
    with pytest.raises(InputError, match=r"unknown setting grid\.imagos; did you mean grid\.images"):
        load(str(tmp_path / "all.yaml"), [])
    (tmp_path / "all.yaml").write_text("grid: [nothing]")
    with pytest.raises(InputError, match="'nothing' is neither a preset nor"):
        load(str(tmp_path / "all.yaml"), [])


def test_names_in_a_grid_lead_through_other_grids(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: table5\nsearch: {trials: 1}")
    (tmp_path / "all.yaml").write_text("grid: [paper, mine.yaml, demo]")
    config = load(str(tmp_path / "all.yaml"), [])
    assert config.grid[-1].backbone == load("demo", []).grid[0].backbone
    assert load("demo", ["grid=[table1,table3]", "grid.norm=none"]).grid[0].norm == ["none"]
    assert load("demo", ["grid=table1"]).grid == load("table1", []).grid
    (tmp_path / "a.yaml").write_text("grid: [b.yaml]")
    (tmp_path / "b.yaml").write_text("grid: [a.yaml]")
    with pytest.raises(InputError, match="grid: leads from"):
        load(str(tmp_path / "a.yaml"), [])


def test_a_study_without_a_grid_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("data: {source: phantom}")
    with pytest.raises(InputError, match="grid: field required"):
        load(str(tmp_path / "x.yaml"), [])
    (tmp_path / "y.yaml").write_text("grid: [x.yaml]")
    with pytest.raises(InputError, match="has no grid"):
        load(str(tmp_path / "y.yaml"), [])


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("pipe.yaml", "folder.yaml"):
        (tmp_path / "ours.yaml").write_text(f"base: {name}\n")
        with pytest.raises(InputError, match=f"{name}: not a file; name a preset"):
            load(str(tmp_path / "ours.yaml"), [])
