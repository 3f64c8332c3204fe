"""Reads presets and settings files with their ``base``, and applies ``key=value``.

base: cohort               take the settings of a preset or file; what is said here goes before
grid: [table1, table3]     take the blocks of these presets
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
import textwrap
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from sldd.errors import InputError
from study.config.values import ValueMeantOtherwiseError, load_settings, load_value

Tree = dict[str, Any]
_WIDTH = 96  # characters of a line about a preset


def presets() -> list[str]:
    """Names of the presets that come with the project."""
    folder = resources.files("study") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def about(preset: str) -> str:
    """What a preset is, in a line: the first sentence of the comment that its file begins with."""
    lines = (resources.files("study") / "presets" / f"{preset}.yaml").read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.strip("# ") for line in itertools.takewhile(lambda line: line.startswith("#"), lines))
    return textwrap.shorten(re.split(r"\.(?=\s+[A-Z]|$)", comment)[0], _WIDTH, placeholder=" ...")


def read(study: str, overrides: list[str]) -> Tree:
    """The settings of a preset or a YAML file as nested mappings, ``key=value`` settings applied, nothing else checked.

    Raises:
        InputError: no such preset or file, or a text that is no mapping or no value.
    """
    given = list(map(_setting, overrides))  # before the study: what a shell has cut off a list is taken for its name
    tree = _merged(study, ())
    tree.setdefault("name", Path(study).stem)
    _expand(tree)
    for key, value in given:
        _set(tree, key, value)
        _expand(tree)
    return tree


def _setting(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    if not separator:
        raise InputError(f"{override!r} is neither a setting (key=value) nor the study's only name")
    return key, load_value(key, text)


def _merged(study: str, seen: tuple[str, ...]) -> Tree:
    """Settings merged over those of their base; presets and files in the grid as names that hold anywhere."""
    if study in seen:
        raise InputError(f"{seen[0]}: base leads from {' to '.join(seen)} and back to {study}")
    tree = _own_settings(study)
    if isinstance(tree.get("grid"), str | list):
        entries = tree["grid"] if isinstance(tree["grid"], list) else [tree["grid"]]
        tree["grid"] = [_beside(study, entry) if isinstance(entry, str) else entry for entry in entries]
    base = tree.pop("base", None)
    if base is None:
        return tree
    below = _merged(_beside(study, str(base)), (*seen, study))
    return _on_top(tree, {name: value for name, value in below.items() if name != "name"})


def _expand(tree: Tree) -> None:
    """Put the blocks of the presets and files that a grid names in their place."""
    if isinstance(tree.get("grid"), str | list):
        tree["grid"] = list(_blocks(tree["grid"], ()))


def _blocks(grid: Any, seen: tuple[str, ...]) -> Iterator[Any]:
    for entry in grid if isinstance(grid, list) else [grid]:
        if not isinstance(entry, str):
            yield entry
            continue
        if entry in seen:
            raise InputError(f"grid: leads from {' to '.join(seen)} and back to {entry}")
        blocks = _merged(entry, ()).get("grid")
        if blocks is None:
            raise InputError(f"grid: {entry} has no grid")
        yield from _blocks(blocks, (*seen, entry))


def _beside(study: str, name: str) -> str:
    """A preset's name, or a file relative to the one that names it."""
    return name if name in presets() else os.path.normpath(Path(study).parent / name)


def _on_top(tree: Tree, below: Tree) -> Tree:
    merged = below | tree
    for name in tree.keys() & below.keys():
        if isinstance(tree[name], dict) and isinstance(below[name], dict):
            merged[name] = _on_top(tree[name], below[name])
    return merged


def _own_settings(study: str) -> Tree:
    """The settings that a preset or a YAML file has itself, without its base; ``$VARIABLES`` in ``data.root`` replaced.

    Raises:
        InputError: no such preset or file, or a text that is no mapping.
    """
    text, where = _text(study)
    try:
        tree = load_settings(text)
    except ValueMeantOtherwiseError as error:
        raise InputError(f"{where} line {error.line + 1}: {error.problem}") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise InputError(f"{where}: not valid YAML" + (f" at line {line + 1}" if line is not None else "")) from None
    if not isinstance(tree, dict):
        raise InputError(f"{where}: a study is a mapping of settings, see study/presets/demo.yaml")
    data = tree.get("data")
    if isinstance(data, dict) and isinstance(data.get("root"), str):
        data["root"] = os.path.expandvars(data["root"])
    return tree


def _text(study: str) -> tuple[str, str]:
    """Text of a preset or a YAML file, and what messages call it.

    Raises:
        InputError: there is no such preset or file, or it cannot be read.
    """
    if study in presets():
        return (resources.files("study") / "presets" / f"{study}.yaml").read_text(), f"preset {study}"
    path = Path(study)
    if path.suffix not in (".yaml", ".yml"):
        near = difflib.get_close_matches(path.name, presets(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(presets())}"
        raise InputError(f"{path.name!r} is neither a preset nor a .yaml file; {hint}")
    try:
        if path.exists() and not path.is_file():  # a pipe that nobody writes to would keep us waiting
            raise InputError(f"{study}: not a file; name a preset or a file of settings")
        return path.read_text(encoding="utf-8"), study
    except FileNotFoundError:
        raise InputError(f"{study}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{study}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{study}: not UTF-8 text; save it as UTF-8") from None


def _set(tree: Tree, key: str, value: Any) -> None:
    """Set a value; in every block, where a grid has several."""
    *path, last = key.split(".")
    branches = [tree]
    for part in path:
        branches = [branch.setdefault(part, {}) for branch in branches]
        if part == "grid" and isinstance(branches[0], list):
            (branches,) = branches
        if not all(isinstance(branch, dict) for branch in branches):
            raise InputError(f"{key}: {part} is a value, not a group of settings")
    for branch in branches:
        branch[last] = value
