"""One configuration, composed of the settings that each room declares, from a preset or file and ``key=value``.

An unknown key or a value of the wrong kind is an error that names it and the nearest key.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import typing
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from annotated_types import Ge
from pydantic import TypeAdapter, ValidationError

from sldd.compute import ComputeSettings
from sldd.data import DataSettings
from sldd.distill import DistillSettings
from sldd.errors import InputError
from sldd.outer import OuterSettings
from sldd.patches import PatchSettings
from sldd.train import TrainSettings
from study.cluster import ResourceSettings
from study.grid import GridSettings
from study.search import SearchSettings

# A study may grow along these; everything else is what its numbers mean.
GROWING = ("grid.", "search.trials", "search.repeats")
# Where and how fast, not what (but for the threads, which change results); the fingerprint guards the data.
FREE = ("resources.", "compute.memory", "data.cache", "data.root")


@dataclass(frozen=True)
class StudyConfig:
    """A whole study."""

    name: str
    grid: GridSettings
    data: DataSettings = field(default_factory=DataSettings)
    patches: PatchSettings = field(default_factory=PatchSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)
    outer: OuterSettings = field(default_factory=OuterSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    resources: ResourceSettings = field(default_factory=ResourceSettings)
    seed: Annotated[int, Ge(0)] = 0
    """Names every random stream of the study but the patient split (``data.split.seed``)."""


def presets() -> list[str]:
    """Names of the presets that come with the project."""
    folder = resources.files("study") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load(study: str, overrides: list[str]) -> StudyConfig:
    """Read a preset or a YAML file and apply ``key=value`` settings.

    Raises:
        InputError: no such preset or file, an unknown key, or a value that does not fit.
    """
    tree = _read(study)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise InputError(f"{override!r} is neither a setting (key=value) nor the study's only name")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"{key}: {text!r} cannot be read as a value; quote lists as {key}='[a, b]'") from None
        _set(tree, key, value)
    return parse(tree)


def parse(tree: dict[str, Any]) -> StudyConfig:
    """A configuration from nested dictionaries; InputError names an unknown key or a value that does not fit."""
    _check_keys(StudyConfig, tree, "")
    try:
        config: StudyConfig = TypeAdapter(StudyConfig).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
        value = "" if first["type"] == "missing" else f" (got {first['input']!r})"
        raise InputError(f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}{value}") from None
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", config.name):
        raise InputError(f"name: {config.name!r} names a folder; use letters, digits, '-', '_' and '.'")
    return config


def as_tree(config: StudyConfig) -> dict[str, Any]:
    """Nested plain dictionaries, as ``study.yaml`` keeps them and ``parse`` reads them back."""
    return dataclasses.asdict(config)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What keeps ``new`` from continuing a study begun as ``old``: one line a setting; empty where nothing does."""
    before, after = _flatten(old), _flatten(new)
    found = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was == now or (key.startswith(FREE) and key != "resources.threads"):
            continue
        if key.startswith(GROWING):
            grown = set(was) <= set(now) if isinstance(was, list) and isinstance(now, list) else now >= was  # type: ignore[operator]
            if grown:
                continue
        found.append(f"{key} was {was!r} and is now {now!r}")
    return found


def _read(study: str) -> dict[str, Any]:
    path = Path(study)
    if study in presets():
        text, where = (resources.files("study") / "presets" / f"{study}.yaml").read_text(), f"preset {study}"
    elif path.suffix in (".yaml", ".yml"):
        try:
            text, where = path.read_text(encoding="utf-8"), study
        except FileNotFoundError:
            raise InputError(f"{study}: there is no such file") from None
        except OSError as error:
            raise InputError(f"{study}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise InputError(f"{study}: not UTF-8 text; save it as UTF-8") from None
    else:
        near = difflib.get_close_matches(study, presets(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(presets())}"
        raise InputError(f"{study!r} is neither a preset nor a .yaml file; {hint}")
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise InputError(f"{where}: not valid YAML" + (f" at line {line + 1}" if line is not None else "")) from None
    if not isinstance(tree, dict):
        raise InputError(f"{where}: a study is a mapping of settings, see study/presets/demo.yaml")
    tree.setdefault("name", path.stem)
    root = (tree.get("data") or {}).get("root") if isinstance(tree.get("data"), dict) else None
    if isinstance(root, str):
        tree["data"]["root"] = os.path.expandvars(root)
    return tree


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        branch = tree.setdefault(part, {})
        if not isinstance(branch, dict):
            raise InputError(f"{key}: {part} is a value, not a group of settings")
        tree = branch
    tree[last] = value


def _check_keys(kind: type, tree: Any, prefix: str) -> None:
    if not isinstance(tree, dict):
        raise InputError(f"{prefix.rstrip('.')}: a group of settings is a mapping, got {tree!r}")
    hints = typing.get_type_hints(kind)
    for key, value in tree.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"there are: {', '.join(hints)}"
            raise InputError(f"unknown setting {prefix}{key}; {hint}")
        if dataclasses.is_dataclass(hints[key]):
            _check_keys(typing.cast(type, hints[key]), value, f"{prefix}{key}.")


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
