"""The schema of a study's records."""

from __future__ import annotations

from dataclasses import fields

import pytest

from ledger.schema import AXES, SCHEMA, SETTING
from study.grid.axes import Cell, GridSettings


def test_the_axes_are_the_fields_of_a_cell() -> None:
    # `counted` is no axis: it says that the image count is searched.
    assert {each.name for each in fields(Cell)} == {*AXES, "counted"}
    assert {each.name for each in fields(GridSettings)} - {"most_images"} <= set(AXES)


def test_every_axis_is_a_column_of_the_records() -> None:
    assert set(AXES) <= set(SCHEMA)


@pytest.mark.parametrize("name", SETTING)
def test_a_setting_tells_its_values_and_their_absence_apart(name: str) -> None:
    words = AXES[name].words
    assert words is not None
    told = {words(value) for value in (None, {"train_classes": "NP", "train_view": "whole"}.get(name, 3))}
    assert len(told) == 2
