"""Loads a configuration from a preset or file and ``key=value``; compares it with the one a study began with.

An unknown key or a value of the wrong kind is an error that names it and the nearest key.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Container
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sldd.backbones.start import FILE_ENDINGS, XAVIER
from sldd.data.settings import DataSettings
from sldd.errors import InputError
from study.config.cells import cells
from study.config.checks import check_names, check_source, check_task, why_idle, with_task_defaults
from study.config.presets import read
from study.config.schema import Grid, StudyConfig, declared
from study.config.values import check_finite, check_truths, load_value
from study.grid.axes import IMAGES, GridSettings

# What a study that is resumed may change, beside adding to its grid. All else decides what its numbers mean.
GROWING = ("search.trials", "confirm.repeats")
"""Settings that may grow."""
FREE = (
    "resources.", "budget.", "compute.memory", "outer.checkpoint_", "data.cache", "data.root", "minimum.",
    "package.weights", "package.key", "package.signer", "pseudonyms", "track",
)  # fmt: skip
"""Prefixes of settings that may take any value, since no trial's result depends on them: where data and files lie (the
cohort's fingerprint guards the data), how fast and how long trials run, which image count suffices (it decides what is
run, not what comes of it), what packages hold beside the images, and whose key makes pseudonyms (``check_pseudonyms``
guards the names). ``resources.threads`` is the exception: it changes results."""

FORMER: dict[str, Any] = {
    "data.phantom.difficulty": 0.0,
    "search.score": "headline",
    "distill.rate_unit": "absolute",
    "distill.rate_lr": "that of images, on another scale",
}
"""What older studies did where a setting did not exist yet, if its default is something else today."""
FORMER_OF_HEADS = {"distill.label_update": "gradient"}
"""The same for studies whose inner steps change the last layer."""
FORMER_START = {"start": XAVIER}
"""The same for the blocks of their grids."""

RENAMED = {("search", "stop"): "pruner"}
"""Today's names of settings that were called otherwise, by group and former name: files and studies from before have
those."""


def load(study: str, overrides: list[str]) -> StudyConfig:
    """The configuration of a preset or a YAML file with ``key=value`` settings applied.

    Raises:
        InputError: no such preset or file, an unknown key, a value that does not fit, or one that does nothing.
    """
    config = parse(read(study, overrides))
    for key in _typed(overrides):
        if (reason := why_idle(config, key)) is not None:
            raise InputError(f"{key}: {reason}")
    return config


def with_effect(study: str, overrides: list[str], asked: Container[str]) -> list[str]:
    """Overrides without those that do nothing in this study, unless somebody ``asked`` for them.

    Raises:
        InputError: as of ``load``, but for settings that do nothing.
    """
    config = parse(read(study, overrides))
    return [
        override
        for override in overrides
        if override in asked or all(why_idle(config, key) is None for key in _typed([override]))
    ]


def _typed(overrides: list[str]) -> list[str]:
    """Keys of the settings that are given a value, also in groups (``search={rungs: [9]}``)."""
    pairs = (override.partition("=") for override in overrides)
    flat = _flatten({key: load_value(key, text) for key, _, text in pairs})
    return [key for key, value in flat.items() if value is not None]


def parse(tree: dict[str, Any]) -> StudyConfig:
    """A configuration from nested dictionaries; InputError names an unknown key or a value that does not fit."""
    tree = _renamed(tree)
    _check_keys(StudyConfig, tree, "")
    check_source(tree)
    tree = with_task_defaults(tree)
    try:
        config: StudyConfig = TypeAdapter(StudyConfig).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not str(part).startswith(_INTERNAL))
        if not isinstance(tree.get("grid"), list) or len(tree["grid"]) == 1:
            key = key.replace("grid.0", "grid")
        raise InputError(f"{key}: {_described_error(first)}") from None
    if tree.get("privacy") and "noise" not in tree["privacy"]:
        raise InputError(f"privacy.{next(iter(tree['privacy']))}: does nothing without privacy.noise; give that too")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", config.name):
        raise InputError(f"name: {config.name!r} names a folder; use letters, digits, '-', '_' and '.'")
    check_finite(as_tree(config) | {"grid": {}})
    config.outer.check()
    config.search.check()
    check_names(config)
    check_task(config)
    return config


_INTERNAL = ("function-", "constrained-", "literal[", *IMAGES)
"""What pydantic's names for the kinds of a value begin with, in the places of errors."""


def _described_error(error: Any) -> str:
    """Message for a value that does not validate, in the words of a settings file."""
    value, wanted = error["input"], {
        "tuple_type": "two values, [lowest, highest]",
        "dict_type": "a group, {NAME: VALUE, ...}",
    }  # fmt: skip
    words = error["msg"][0].lower() + error["msg"][1:]
    if error["type"] == "missing":
        return words
    if value is None:
        return f"no value is given; {words}"
    if error["type"] in wanted:
        words = f"should be {wanted[error['type']]}"
    elif error["loc"][:1] == ("grid",) and IMAGES[0] in error["loc"] and isinstance(value, str):
        words = "an image count is a whole number; 'search' looks for the smallest"
    elif error["loc"][:2] == ("resources", "gpus_per_trial") and isinstance(value, str):
        words = "should be a number, or auto"
    elif error["type"] == "literal_error" and isinstance(value, str):
        near = difflib.get_close_matches(value, re.findall(r"'([^']*)'", words), n=1)
        return f"{words}; did you mean {near[0]}? (got {value!r})" if near else f"{words} (got {value!r})"
    return f"{words} (got {value!r})"


def as_tree(config: StudyConfig) -> dict[str, Any]:
    """Nested plain dictionaries, as ``study.yaml`` keeps them and ``parse`` reads them back."""
    return dataclasses.asdict(config)


def differences(old: dict[str, Any], new: StudyConfig) -> list[str]:
    """Settings that keep ``new`` from continuing a study begun as ``old``, a line each; empty where none does.

    Args:
        old: its settings in nested mappings, as ``study.yaml`` has them.
    """
    old = _renamed(old)
    found = _lost_cells(old.get("grid"), new)
    before, after = _in_force(old), _flat_without_grid(as_tree(new))
    try:
        begun: StudyConfig | None = parse(old)
    except InputError:  # of a time when other settings were taken
        begun = None
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was == now or _may_change(key, was, now):
            continue
        # Nothing that has run depends on it, or nothing that will: grids only grow, so it did nothing before either.
        # What else decides that a setting does nothing is compared itself.
        if any(config is not None and why_idle(config, key) is not None for config in (begun, new)):
            continue
        found.append(f"{key} was {was!r} and is now {now!r}")
    return found


def _flat_without_grid(tree: dict[str, Any]) -> dict[str, Any]:
    """Settings by their whole keys, without those of the grid."""
    return _flatten({name: value for name, value in tree.items() if name != "grid"})


def _in_force(old: dict[str, Any]) -> dict[str, Any]:
    """Settings that a study began with, by their whole keys; those that did not exist yet with what it did then: what
    their default does, but for ``FORMER``."""
    stored = _flat_without_grid(old)
    inner_weights = {stored.get("distill.inner_weights"), *(stored.get("search.options.inner_weights") or [])}
    former = FORMER | (FORMER_OF_HEADS if "head" in inner_weights else {})
    return _flat_without_grid(as_tree(StudyConfig("", []))) | former | stored


def _may_change(key: str, was: Any, now: Any) -> bool:
    """Whether a study may go on with another value of a setting that does something in it."""
    if key.startswith(FREE) and key != "resources.threads":
        return True
    if key in GROWING and was is not None and now is not None and now >= was:
        return True
    if key.startswith("pretrained.") and now is not None:
        return True  # study.run knows whether trials have begun without it, and whether it is the same file elsewhere
    # One more collection, or the same elsewhere; the fingerprint guards what is in it.
    return key.startswith("sources.") and (was is None or key.endswith((".root", ".cache")))


def _lost_cells(old: Any, new: StudyConfig) -> list[str]:
    """A line on the cells that are in the old grid and not in the new one."""
    try:
        former = [FORMER_START | block for block in (old if isinstance(old, list) else [old])]
        before, after = (
            {replace(cell, counted=False) for cell in cells(grid, task=new.task)}
            for grid in (TypeAdapter(Grid).validate_python(former), new.grid)
        )
    except (KeyError, TypeError, ValidationError, InputError):  # a method that there is no longer
        return ["its grid cannot be read"]
    lost = sorted(before - after, key=lambda cell: cell.name)
    if not lost:
        return []
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    whence = f" (start {lost[0].start})" if lost[0].start.endswith(FILE_ENDINGS) else ""
    return [f"grid had the cell {lost[0].name}{whence}{more} and has not now"]


def _check_keys(kind: type, tree: Any, prefix: str) -> None:
    if not isinstance(tree, dict):
        raise InputError(f"{prefix.rstrip('.')}: a group of settings is a mapping, got {tree!r}")
    hints = typing.get_type_hints(kind)
    for key, value in tree.items():
        if key not in hints:
            elsewhere = [] if prefix else [whole for whole, _, name in declared() if name == key]
            near = [f"{prefix}{name}" for name in difflib.get_close_matches(str(key), hints, n=1)]
            meant = " or ".join(elsewhere or near)
            hint = f"did you mean {meant}?" if meant else f"there are: {', '.join(hints)}"
            raise InputError(f"unknown setting {prefix}{key}; {hint}")
        if dataclasses.is_dataclass(hints[key]):
            _check_keys(typing.cast(type, hints[key]), value, f"{prefix}{key}.")
        else:
            check_truths(hints[key], value, f"{prefix}{key}")
        if kind is StudyConfig and key == "sources":
            for name, settings in value.items() if isinstance(value, dict) else ():
                _check_keys(DataSettings, settings, f"{key}.{name}.")
        if kind is StudyConfig and key == "grid":
            for block in value if isinstance(value, list) else [value]:
                _check_keys(GridSettings, block, f"{prefix}{key}.")


def _renamed(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with today's names for settings that had others."""
    for (group, name), new in RENAMED.items():
        settings = tree.get(group) if isinstance(tree, dict) else None
        if isinstance(settings, dict) and name in settings and new not in settings:
            tree = tree | {group: {new if key == name else key: value for key, value in settings.items()}}
    return tree


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
