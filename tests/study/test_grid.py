"""Axes become cells with names that are folders."""

from __future__ import annotations

from itertools import product

from study.grid import GridSettings, cells


def _grid(**axes: object) -> GridSettings:
    return GridSettings(**{"backbone": ["a"], "images": [1], **axes})  # type: ignore[arg-type]


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
    found = cells(GridSettings(["a"], [3], ["sldd", "train"], start=["xavier", "pretrained", "/x/chest.pt"]))  # type: ignore[arg-type]
    assert [cell.name for cell in found] == [
        "a-m3-one_hot-as_is-sldd-s1e1",
        "a-as_is-train",
        "a-m3-one_hot-as_is-sldd-pretrained-s1e1",
        "a-as_is-train-pretrained",
        "a-m3-one_hot-as_is-sldd-chest-s1e1",
        "a-as_is-train-chest",
    ]
