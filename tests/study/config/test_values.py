"""Values in settings: what a person means, or refused; on the command line and in files alike."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledger import safe_yaml
from sldd.errors import InputError
from study.config.loader import load
from study.config.presets import presets
from study.config.values import load_settings

REFUSED = {
    "1:30": "of base 60",
    "1:30:00": "of base 60",
    "1:30.5": "of base 60",
    "-1:30": "of base 60",
    "010": "begins with a zero",
    "08": "begins with a zero",
    "-01": "begins with a zero",
    "0x10": "not decimal",
    "0b11": "not decimal",
    "0o17": "not decimal",
    "1__0": "underscores",
    "1_0": "underscores",
    "12_34_567": "underscores",
    "1.000": "thousands",
    "12.000.000": "thousands",
    ".inf": "no number that a setting can have",
    "-.INF": "no number that a setting can have",
    ".nan": "no number that a setting can have",
    "~": "nothing to YAML",
}
MEANT = {
    "1_000": 1000,
    "12_345_678": 12_345_678,
    "1000": 1000,
    "0": 0,
    "-7": -7,
    "+7": 7,
    "1.5": 1.5,
    ".5": 0.5,
    "5.": 5.0,
    "1.0e-3": 0.001,
    "0.500": 0.5,
    "10.0": 10.0,
    "true": True,
    "False": False,
    "null": None,
    "no": "no",
    "on": "on",
    "Yes": "Yes",
    "2026-01-01": "2026-01-01",
    "1e3": "1e3",
    "'010'": "010",
    "'1:30'": "1:30",
    "'~'": "~",
    "~/films": "~/films",
    "12:75": "12:75",
    "1.2.3": "1.2.3",
    "=x": "=x",
    "0a": "0a",
}

Given = Callable[[Path, str, str], Any]


def _typed(_: Path, key: str, value: str) -> Any:
    return load("demo", [f"{key}={value}"])


def _written(folder: Path, key: str, value: str) -> Any:
    group, _, name = key.rpartition(".")
    (folder / "ours.yaml").write_text(f"base: demo\n{group}: {{{name}: {value}}}\n" if group else f"{key}: {value}\n")
    return load(str(folder / "ours.yaml"), [])


@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize("given", [_typed, _written])
@pytest.mark.parametrize("key", ["budget.hours", "search.trials", "data.root"])
def test_what_nobody_means_is_refused(tmp_path: Path, given: Given, key: str, value: str) -> None:
    with pytest.raises(InputError) as caught:
        given(tmp_path, key, value)
    message = str(caught.value)
    assert message.startswith(f"{key}: {value} " if given is _typed else f"{tmp_path}/ours.yaml line 2: {value} ")
    assert REFUSED[value] in message


@pytest.mark.parametrize("value", REFUSED)
def test_within_lists_and_keys_too(value: str) -> None:
    for text in (f"a: [1, {value}]", f"a:\n- b: {value}", f"{{{value} : 1}}"):
        with pytest.raises(yaml.YAMLError, match=REFUSED[value]):
            load_settings(text)


@pytest.mark.parametrize("value", MEANT)
def test_what_a_person_means(value: str) -> None:
    found = load_settings(f"a: {value}")["a"]
    assert (type(found), found) == (type(MEANT[value]), MEANT[value])


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("budget.hours", "1.5", 1.5),
        ("budget.hours", "1e3", 1000.0),
        ("budget.hours", "null", None),
        ("search.trials", "'10'", 10),
        ("search.trials", "1_000", 1000),
        ("compute.deterministic", "yes", True),
        ("compute.deterministic", "off", False),
        ("data.cache", "no", "no"),
        ("data.cache", "2026-01-01", "2026-01-01"),
        ("search.outer_lr", "[1e-4, 1e-1]", (1e-4, 1e-1)),
        ("search.options", "{clip: [1e-1, null]}", {"clip": [0.1, None]}),
    ],
)
@pytest.mark.parametrize("given", [_typed, _written])
def test_settings_have_the_value_that_is_meant(tmp_path: Path, given: Given, key: str, value: str, found: Any) -> None:
    config = given(tmp_path, key, value)
    group, _, name = key.partition(".")
    assert getattr(getattr(config, group), name) == found


@pytest.mark.parametrize("value", ["true", "yes", "no", "on"])
@pytest.mark.parametrize(
    "key",
    ["search.trials", "budget.hours", "confirm.repeats", "grid.images", "seed", "search.outer_lr"],
)
def test_a_truth_value_is_no_number(key: str, value: str) -> None:
    with pytest.raises(InputError, match=key.replace(".", r"\.")):
        load("demo", [f"{key}={value}"])


def test_true_in_a_list_is_no_number_either() -> None:
    with pytest.raises(InputError, match=r"grid\.images: true and false are no values"):
        load("demo", ["grid.images=[1, true]"])
    assert load("demo", ["compute.deterministic=true"]).compute.deterministic is True


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "Infinity", "1e999"])
def test_what_is_not_finite_is_refused(value: str) -> None:
    with pytest.raises(InputError, match=r"budget\.hours: "):
        load("demo", [f"budget.hours={value}"])


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("budget.hours=", "budget.hours: no value behind the '='; write budget.hours=null for none"),
        ("data.root= ", "data.root: no value behind the '='"),
        ("data.root=/films #2", "data.root: what follows the '#' would be left out"),
        ("name=#3", "name: what follows the '#' would be left out"),
        ("grid.images=[1, 2] # three", "grid.images: what follows the '#' would be left out"),
        ("grid.images=[1, 2", "cannot be read as a value; quote lists"),
    ],
)
def test_what_would_be_left_out_is_refused(override: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load("demo", [override])
    assert says in str(caught.value)


def test_a_number_sign_within_a_value_stays() -> None:
    assert load("demo", ["data.cache=/films#2"]).data.cache == "/films#2"
    assert load("demo", ["data.cache='/films #2'"]).data.cache == "/films #2"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("base: demo\nsearch: {trials: 1}\nsearch: {trials: 2}\n", 3, "'search' is there twice (first in line 2)"),
        ("base: demo\nsearch:\n  trials: 1\n  trials: 1\n", 4, "'trials' is there twice (first in line 3)"),
        ("base: demo\ngrid:\n- backbone: [a]\n  images: [1]\n  'images': [2]\n", 5, "'images' is there twice"),
        ("base: demo\nbudget: {hours: 2, hours: 1:30}\n", 2, "'hours' is there twice (first in line 2)"),
        ("base: demo\nseed: 007\n", 2, "007 begins with a zero"),
    ],
)
def test_files_are_refused_with_the_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    (tmp_path / "ours.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load(str(tmp_path / "ours.yaml"), [])
    assert f"ours.yaml line {line}: " in str(caught.value)
    assert says in str(caught.value)


def test_merged_keys_are_not_there_twice() -> None:
    assert load_settings("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}") == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}


@pytest.mark.parametrize("preset", presets())
def test_every_preset_is_read_as_yaml_reads_it(preset: str) -> None:
    text = (resources.files("study") / "presets" / f"{preset}.yaml").read_text()
    assert load_settings(text) == yaml.safe_load(text)


def test_what_ledgers_hold_is_read_as_it_was_written() -> None:
    tree = {
        "name": "1e3",
        "root": "010",
        "day": "2026-01-01",
        "word": "no",
        "time": "1:30",
        "none": None,
        "octal": "0x1",
    }
    assert safe_yaml.load(yaml.safe_dump(tree)) == load_settings(yaml.safe_dump(tree)) == tree
