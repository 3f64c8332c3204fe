"""Fuzz the reader of study files and settings with hostile YAML."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fuzz.guard import Inputs, Prepared, Reader
from benchmarks.fuzz.mutations import Random, pick, spoil, spoil_tree
from sldd.errors import InputError
from study.config.loader import load

_BOMBS = (
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{n}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))
    + "name: *i\n",
    "a: &a {x: 1}\n"
    + "".join(f"{n}: &{n} {{<<: [{','.join(['*' + p] * 9)}]}}\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "a: &a [*a]\n",
    "grid: &g\n  images: *g\n",
    "[" * 3_000 + "]" * 3_000,
    "[" * 100_000,
    "{a: " * 3_000,
    "- " * 3_000 + "x",
    "? " * 2_000 + "x",
    "name: " + "1" * 6_000,
    "name: !!int abc",
    "name: 2020-99-99",
    "name: !!timestamp x",
    "name: !!bool x",
    "name: !!float x",
    "name: !!binary =",
    "name: !!python/object/apply:os.system ['true']",
    "name: !!set {a, b}",
    "name: !!omap [a]",
    "? [a, b]\n: c",
    "? {a: b}\n: c",
    "1: 2\ntrue: 3\nnull: 4\n2020-01-01: 5",
    "=: x",
    "<<: x",
    "name: 1:60:60:60:60",
    "name: 010\nseed: 0x10",
    "seed: 1__0\nname: 1_000",
    "name: a\nname: b",
    "010: 1\n~: 2",
    "<<: {name: a}\n<<: {name: b}",
    "[a, a]: 1\n[a, a]: 2",
    "search: {trials: true}\nname: .inf",
    "budget: {hours: inf}\ngrid: {images: [1.000, on]}",
    "name: " + "1_" * 20_000,
    "name: " + "1:" * 20_000,
    "name: x " + "#" * 20_000,
    "name: " + "# " * 900,
    "--- a\n--- b",
    "%YAML 9.9\n---\na: b",
    "base: demo\ngrid: [demo, demo]",
    "base: study.yaml",
    "grid: study.yaml",
    "base: /dev/zero",
    "base: pipe.yaml",
    "name: a\x00b",
    "&" * 5_000,
    "!" * 5_000,
    "a" * 100_000,
    "x: " + "'" * 50_001,
    "grid: {images: [1" + "0" * 5_000 + "]}",
)


def spoil_yaml(tree: Any, random: Random) -> bytes:
    what = random.random()
    if what < 0.15:
        text = pick(random, _BOMBS)
        return spoil(text.encode(), random) if random.random() < 0.3 else text.encode()
    if what < 0.4:
        return spoil(yaml.safe_dump(tree).encode(), random)
    return _dumped(spoil_tree(tree, random)).encode("utf-8", "surrogatepass")


def _dumped(tree: Any) -> str:
    """YAML, or JSON (which is YAML) where PyYAML does not write what a tree has become."""
    try:
        return str(yaml.safe_dump(tree, allow_unicode=True))
    except Exception:
        return json.dumps(tree)


def _config(folder: Path) -> Prepared:
    tree = {
        "name": "ours",
        "base": "demo",
        "grid": [{"backbone": ["lenet"], "images": [1, 2], "method": ["sldd"]}],
        "data": {"source": "folder", "root": "$HOME/x", "split": {"seed": 1}},
        "search": {"trials": 3},
        "confirm": {"repeats": 2},
        "outer": {"steps": 10},
        "patches": {"size": 32, "stride": 16},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(tree))
    os.mkfifo(folder / "pipe.yaml")
    overrides: list[str] = []

    def make(random: Random) -> Inputs:
        overrides.clear()
        if random.random() < 0.2:
            key = pick(random, ("grid.images", "data.root", "name", "a.b.c", "", "grid", "data", "search.trials", ".."))
            overrides.append(key + pick(random, ("=", "")) + pick(random, _BOMBS)[:2_000])
            return {}
        return {"study.yaml": spoil_yaml(tree, random)}

    def read() -> object:
        try:
            return load(str(folder / "study.yaml"), overrides)
        finally:
            overrides.clear()

    return make, read


READERS = [
    Reader("config", _config, (InputError,), share=6),
]
