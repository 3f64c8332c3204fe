"""Axes become cells with names that are folders."""

from __future__ import annotations

from itertools import product

import pytest

from sldd.errors import InputError
from study.config.cells import cells
from study.grid.axes import GridSettings


def _grid(**axes: object) -> list[GridSettings]:
    return [GridSettings(**{"backbone": ["a"], "images": [1], **axes})]  # type: ignore[arg-type]


def test_cells_are_the_product() -> None:
    found = cells(_grid(backbone=["a", "b"], images=[1, 2, 3], norm=["as_is", "none"], distill_steps=[1, 3]))
    assert len(found) == 2 * 3 * 2 * 2
    assert {(c.backbone, c.images, c.norm, c.distill_steps) for c in found} == set(
        product("ab", (1, 2, 3), ("as_is", "none"), (1, 3))
    )


def test_training_has_one_cell_a_backbone_and_norm() -> None:
    found = cells(_grid(method=["sldd", "train"], images=[1, 2], label_init=["one_hot", "uniform"]))
    assert sum(cell.method == "train" for cell in found) == 1
    assert sum(cell.method == "sldd" for cell in found) == 4


def test_names_are_distinct_folder_names() -> None:
    found = cells(
        _grid(
            backbone=["torchvision/vgg16", "vgg16"],
            images=[1, 11],
            label_init=["constant:N", "one_hot"],
            method=["sldd", "dd", "train"],
            distill_epochs=[1, 2],
        )
    )
    names = [cell.name for cell in found]
    assert len(set(names)) == len(names)
    assert not any(set("/: ") & set(name) for name in names)


def test_starts_are_an_axis() -> None:
    found = cells(_grid(images=[3], method=["sldd", "train"], start=["xavier", "pretrained", "/x/chest.pt"]))
    assert [cell.name for cell in found] == [
        "a-m3-one_hot-as_is-sldd-s1e1",
        "a-as_is-train",
        "a-m3-one_hot-as_is-sldd-pretrained-s1e1",
        "a-as_is-train-pretrained",
        "a-m3-one_hot-as_is-sldd-chest-s1e1",
        "a-as_is-train-chest",
    ]


def test_blocks_are_put_together_without_repeats() -> None:
    found = cells(_grid(images=[1, 3]) + _grid(images=[3], norm=["none"]) + _grid(images=[3, 1]))
    assert [(cell.images, cell.norm) for cell in found] == [(1, "as_is"), (3, "as_is"), (3, "none")]


def test_every_fold_of_a_cell_is_a_cell() -> None:
    found = cells(_grid(images=[1, 2], method=["sldd", "train"]), folds=3)
    assert len({cell.name for cell in found}) == len(found) == 9
    assert [cell.fold for cell in found[:3]] == [0, 1, 2]
    assert found[0].name == "a-m1-one_hot-as_is-sldd-near_linear-s1e1-f0"


def test_searched_counts_are_candidates() -> None:
    found = cells(_grid(images="search", most_images=3, method=["sldd", "train"]))
    assert [(cell.images, cell.counted) for cell in found] == [(1, True), (2, True), (3, True), (None, False)]
    assert found[0].name == cells(_grid(images=[1]))[0].name


def test_counts_are_listed_or_searched() -> None:
    with pytest.raises(InputError, match="image counts of a are listed in one block and searched in another"):
        cells(_grid(images="search") + _grid(images=[2]))


def test_no_two_cells_share_a_folder() -> None:
    with pytest.raises(InputError, match="two cells would be called a-m1-one_hot-as_is-sldd-net-s1e1"):
        cells(_grid(start=["x/net.pt"]) + _grid(start=["y/net.pt"]))


def test_a_block_may_have_epochs_of_its_own() -> None:
    few, more = cells(_grid(epochs=2) + _grid())
    assert (few.epochs, more.epochs) == (2, None)
    assert few.name != more.name
