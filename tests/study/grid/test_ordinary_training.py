"""Which ordinary training distilled cells are held against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from study.grid.axes import Cell
from study.grid.ordinary_training import trained_beside, trains_on_all

TRAINED = Cell("net", "train", "as_is")
DISTILLED = Cell("net", "sldd", "as_is", 3, "one_hot", 1, 1)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ({}, True),
        ({"train_classes": "INP", "train_view": "patches"}, True),
        ({"train_view": "whole"}, True),  # as all training of films that are told whole
        ({"train_classes": "NP", "train_view": "whole"}, False),  # whole pictures of patients whose patches are told
        ({"train_classes": "NP"}, False),
        ({"train_patches": 9}, False),
        ({"stage": "nih"}, False),
        ({"images": 3}, False),
    ],
)
def test_ordinary_training_is_on_all_of_the_studys_own_patients(cell: dict[str, Any], expected: bool) -> None:
    assert trains_on_all(replace(TRAINED, **cell)) is expected


@pytest.mark.parametrize(("epochs", "expected"), [(None, 10), (2, 2), (3, 10)])
def test_of_several_numbers_of_epochs_its_own_or_the_most_count(epochs: int | None, expected: int) -> None:
    trained = [replace(TRAINED, epochs=each, fold=fold) for each in (2, 10, 9) for fold in (0, 1)]
    others = [replace(TRAINED, norm="group"), replace(TRAINED, start="pretrained"), replace(TRAINED, chain=("nih",))]
    beside = trained_beside([*others, *trained], replace(DISTILLED, epochs=epochs, fold=1), None)
    assert [(cell.epochs, cell.fold) for cell in beside] == [(expected, 0), (expected, 1)]
    assert trained_beside(others, DISTILLED, None) == []


def test_training_without_epochs_of_its_own_took_the_studys() -> None:
    trained = [replace(TRAINED, epochs=each) for each in (None, 50)]
    for usual, expected in ((400, None), (20, 50), (None, 50)):
        assert [cell.epochs for cell in trained_beside(trained, replace(DISTILLED, epochs=100), usual)] == [expected]
    assert [cell.epochs for cell in trained_beside(trained, replace(DISTILLED, epochs=400), 400)] == [None]
