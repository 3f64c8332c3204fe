"""The reference of all settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from study.config.loader import as_tree, load
from study.config.schema import StudyConfig
from study.grid.axes import GridSettings
from study.settings import main, settings, to_markdown

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == to_markdown(list(settings())), "python -m study.settings --markdown > docs/settings.md"


def test_every_setting_of_a_study_is_there_with_its_default() -> None:
    found = {setting.key: setting.default for setting in settings()}
    tree = as_tree(dataclasses.replace(StudyConfig("x", [GridSettings([], [])])))
    tree["grid"] = tree["grid"][0]

    def leaves(of: dict[str, object], prefix: str = "") -> dict[str, object]:
        flat: dict[str, object] = {}
        for key, value in of.items():
            nested = isinstance(value, dict) and value
            flat |= leaves(value, f"{prefix}{key}.") if nested else {prefix + key: value}  # type: ignore[arg-type]
        return flat

    known = leaves(tree)
    assert known.keys() == found.keys()
    for key, default in found.items():
        if default is None:
            assert key in ("name", "grid.backbone", "grid.images")
        else:
            value = known[key]
            assert yaml.safe_load(default) == (list(value) if isinstance(value, tuple) else value), key


def test_every_choice_is_listed_once() -> None:
    for setting in settings():
        choices = setting.meaning.rpartition("One of ")[2].split(", ")
        assert len(choices) == len(set(choices)), setting.key


def test_the_command_shows_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outer", "search.trials"]) == 0
    said = capsys.readouterr().out
    assert "outer.batch_size = 96\n    Real patches a step, a third of each class." in said
    assert "search.trials = 8" in said
    assert "search.outer_lr" not in said


def test_an_unknown_group_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inner"]) == 2
    assert "no setting is called inner; there are: name, grid, task, data," in capsys.readouterr().err


def test_a_shown_default_can_be_given_back() -> None:
    keys = [
        f"{each.key}={each.default}" for each in settings() if each.key.startswith(("outer.", "compute.", "patches."))
    ]
    assert load("lungs", keys).outer == StudyConfig("x", []).outer
