"""Whether a study goes on: not where its films changed, or are read otherwise, and it says which of the two."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sldd.data.cohort import Cohort, prepare
from sldd.data.split import split_patients
from sldd.errors import InputError
from sldd.sources.folder import FolderSource
from study.config.cells import cells
from study.config.loader import as_tree, load
from study.export.archive import _without_places
from study.planning.cohorts import StudyPatients
from study.planning.header import describe
from study.planning.plan import PlannedCell
from study.planning.resume import check_same_study, planned_before


def _refusal(before: str, cohort: Cohort) -> str | None:
    """Why a study that began with this fingerprint does not go on; None where it does."""
    config = load("demo", [])
    told = {"config": as_tree(config), "provenance": {"cohort": {"fingerprint": before}}, "cells": []}
    try:
        check_same_study(told, config, StudyPatients(cohort, [], {}, {}), Path("results/demo"))
    except InputError as error:
        return str(error)
    return None


def test_the_same_films_read_alike_go_on(cohort_folder: Path, tmp_path: Path) -> None:
    source = FolderSource(cohort_folder)
    assert _refusal(source.fingerprint(), prepare(source, tmp_path / "cache")) is None


def test_other_films_are_said(cohort_folder: Path, tmp_path: Path) -> None:
    refusal = _refusal("0" * 64, prepare(FolderSource(cohort_folder), tmp_path / "cache"))
    assert "the data (fingerprint) changed; give this one another name" in str(refusal)


def test_another_file_of_weights_under_the_same_path_is_said(cohort_folder: Path, tmp_path: Path) -> None:
    cohort, file = prepare(FolderSource(cohort_folder), tmp_path / "cache"), tmp_path / "start.safetensors"
    file.write_bytes(b"first")
    config = load("demo", [f"grid.start={file}"])
    split, patients = split_patients(cohort, config.data.split), StudyPatients(cohort, [], {}, {})
    told = describe(config, cohort, split, [], [], None)
    check_same_study(told, config, patients, Path("results/demo"))
    file.write_bytes(b"second")
    with pytest.raises(InputError, match=rf"the content of {file} changed; give this one another name"):
        check_same_study(told, config, patients, Path("results/demo"))
    del told["provenance"]["weights"]  # as in a study of before
    check_same_study(told, config, patients, Path("results/demo"))


def test_the_same_pretrained_weights_elsewhere_go_on_and_others_are_said(cohort_folder: Path, tmp_path: Path) -> None:
    """Also of a study that was packed, which does not say where they lay."""
    cohort, place = prepare(FolderSource(cohort_folder), tmp_path / "cache"), tmp_path / "here" / "lenet.safetensors"
    moved = tmp_path / "there" / "lenet.safetensors"
    for file in (place, moved):
        file.parent.mkdir()
        file.write_bytes(b"first")
    config, later = (
        load("demo", ["grid.backbone=lenet", "grid.start=pretrained", f"pretrained={file.parent}"])
        for file in (place, moved)
    )
    split, patients = split_patients(cohort, config.data.split), StudyPatients(cohort, [], {}, {})
    told = describe(config, cohort, split, [], [], None)
    packed = yaml.safe_load(_without_places(yaml.safe_dump(told | {"command": ""})))
    assert packed["config"]["pretrained"] == {"lenet": "FOLDER/lenet.safetensors"}
    assert str(tmp_path) not in str([packed["provenance"]["weights"], packed["config"]["pretrained"]])
    for before in (told, packed):
        check_same_study(before, later, patients, Path("results/demo"))
    assert list(describe(later, cohort, split, [], [], packed)["provenance"]["weights"]) == [str(moved)]
    moved.write_bytes(b"second")
    for before in (told, packed):
        with pytest.raises(InputError, match=rf"the content of {moved} changed"):
            check_same_study(before, later, patients, Path("results/demo"))
    del told["provenance"]["weights"]  # as in a study of before
    with pytest.raises(InputError, match=rf"pretrained weights were of {place} and are of {moved} now"):
        check_same_study(told, later, patients, Path("results/demo"))


def test_one_file_for_two_networks_is_held_against_both_of_before(cohort_folder: Path, tmp_path: Path) -> None:
    cohort = prepare(FolderSource(cohort_folder), tmp_path / "cache")
    files = {name: tmp_path / f"{name}.safetensors" for name in ("lenet", "test_resnet", "both")}
    for name, file in files.items():
        file.write_bytes(b"first" if name == "both" else name.encode())
    files["test_resnet"].write_bytes(b"first")
    words = ["grid.backbone=[lenet,test_resnet]", "grid.start=pretrained"]
    begun, later = (
        load("demo", [*words, f"pretrained={{lenet: {one}, test_resnet: {other}}}"])
        for one, other in ((files["lenet"], files["test_resnet"]), (files["both"], files["both"]))
    )
    split, patients = split_patients(cohort, begun.data.split), StudyPatients(cohort, [], {}, {})
    with pytest.raises(InputError, match=f"the content of {files['both']} changed"):
        check_same_study(describe(begun, cohort, split, [], [], None), later, patients, Path("results/demo"))


@pytest.mark.parametrize(
    ("cell", "refused"),
    [
        ({"start": "pretrained", "chain": []}, True),
        ({"start": "xavier", "chain": ["pretrained", "nih"], "transfer": "mixed"}, True),
        ({"start": "xavier", "chain": ["nih"], "transfer": "regular"}, False),
        ({"start": "xavier"}, False),  # of a study of before there were chains
    ],
)
def test_pretrained_weights_from_elsewhere_are_said(
    cohort_folder: Path, tmp_path: Path, cell: dict[str, Any], refused: bool
) -> None:
    cohort, config = prepare(FolderSource(cohort_folder), tmp_path / "cache"), load("demo", [])
    cells = [{"backbone": "lenet", "refused": None} | cell]
    told = {"config": as_tree(config), "provenance": {"cohort": {"fingerprint": cohort.fingerprint}}, "cells": cells}
    own = replace(config, pretrained={"lenet": str(tmp_path / "own.pt")})
    with (
        pytest.raises(InputError, match="pretrained weights of lenet came from elsewhere") if refused else nullcontext()
    ):
        check_same_study(told, own, StudyPatients(cohort, [], {}, {}), Path("results/demo"))


def test_films_that_are_read_differently_are_said(cohort_folder: Path, tmp_path: Path) -> None:
    source = FolderSource(cohort_folder)
    cohort = replace(prepare(source, tmp_path / "cache"), fingerprint="1" * 64, changed={"padding": 12, "mask": 1})
    refusal = _refusal(source.fingerprint(), cohort)
    assert "films are read differently by this version (mask: 1, padding: 12; docs/reading.md)" in str(refusal)
    assert _refusal("1" * 64, cohort) is None


def test_what_a_plan_found_is_read_back(cohort_folder: Path, tmp_path: Path) -> None:
    cohort = prepare(FolderSource(cohort_folder), tmp_path / "cache")
    config = load("demo", ["grid.backbone=[lenet, test_resnet]", "grid.images=2", "grid.method=sldd"])
    first, second = grid = cells(config.grid)
    ran = PlannedCell(first, 61_000, None, 2.5, fresh_seconds=0.5, memory=10**9)
    refused = PlannedCell(second, 372_691, "batch norm sees one value a channel", None)
    told = describe(config, cohort, split_patients(cohort, config.data.split), [ran, refused], [], None)
    assert planned_before(told, config, grid) == {first: ran}, "what was refused may run now"
    assert planned_before(None, config, grid) == {}
    keeping = load("demo", ["compute.memory=keep"])
    assert planned_before(told, keeping, grid) == {first: replace(ran, memory=None)}
    elsewhere = load("demo", ["resources.feature_cache=0"])
    assert planned_before(told, elsewhere, grid) == {first: replace(ran, memory=None)}
    for library in ("torch", "torchvision", "timm"):
        with_another = copy.deepcopy(told)
        with_another["provenance"]["versions"][library] = "0.9"
        assert planned_before(with_another, config, grid) == {first: replace(ran, memory=None)}, library
