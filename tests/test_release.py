"""A version has one number and one date, wherever they are written; a wheel holds all that runs, and runs anywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from study.__main__ import main

ROOT = Path(__file__).parents[1]
ROOMS = ("sldd", "study", "ledger", "analysis")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SETTINGS = [
    "demo", "name=tiny", "grid.backbone=convnet_w32", "grid.images=2", "data.phantom={patients: 16, size: 64}",
    "data.split={validation: 0.2, test: 0.4}", "patches={size: 24, stride: 8, input_size: 16}", "data.cache=cache",
    "outer={steps: 4, batch_size: 12, evaluations: 2}", "--dry-run", "--address", "local",
]  # fmt: skip


def test_version_and_date_are_the_same_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    written = (ROOT / "CHANGELOG.md").read_text()
    newest = re.findall(r"^## (.+)$", written, re.MULTILINE)[0]
    if ".dev" in PROJECT["version"]:  # of a version to come there is no date, and what is new in it has no number
        assert newest == "Unreleased"
        assert f"\n## {PROJECT['version'].partition('.dev')[0]} (" not in written
        assert "date-released" not in cited
    else:
        assert newest == f"{PROJECT['version']} ({cited['date-released']})"
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sldd-study {PROJECT['version']}\n"


def test_extras_that_messages_name_are_there() -> None:
    texts = [path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    texts += [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    named = {name for text in texts for name in re.findall(r"sldd-study\[(\w+)\]", text)}
    assert named
    assert named <= PROJECT["optional-dependencies"].keys()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of what git knows, unpacked into a folder outside the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if name.startswith(ROOMS) or "/" not in name:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    build = ["pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "-w", ".."]
    subprocess.run([sys.executable, "-m", *build], cwd=folder / "source", check=True)
    shutil.rmtree(folder / "source")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_a_wheel_holds_every_file_that_the_rooms_have(installed: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True)
    missing = [name for name in filter(None, listed.stdout.split("\0")) if not (installed / name).is_file()]
    assert missing == []
    entries = next(installed.glob("*.dist-info")) / "entry_points.txt"
    assert "sldd-study = study.__main__:main" in entries.read_text()


_RUN = """
import contextlib, json, runpy, sys
commands, rooms, installed = json.loads(sys.argv[1])
for module, arguments in commands:
    sys.argv[1:] = arguments
    for stream in (sys.stdout, sys.stderr):
        print("====", file=stream, flush=True)
    with contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
used = [m.__file__ for name, m in sys.modules.items() if name.split(".")[0] in rooms and m.__file__]
assert all(file.startswith(installed) for file in used), used
"""


@pytest.mark.slow
def test_a_wheel_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """Its commands, one after another in one interpreter: what it takes to start is the same for all."""
    said = {
        ("study", "--version"): f"sldd-study {PROJECT['version']}",
        ("study.run", *SETTINGS): "convnet_w32-m2-one_hot-as_is-sldd-near_linear-s1e1",
        ("study.run", "table5", "--dry-run", "data.root=nowhere"): "data.root: there is no ",
        ("study.settings", "outer.steps"): "outer.steps",
        ("analysis.dashboard", "nowhere"): "no such folder",
    }
    given = json.dumps([[(module, words) for module, *words in said], [*ROOMS, "benchmarks"], str(installed)])
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONWARNINGS": "ignore"}
    found = subprocess.run(
        [sys.executable, "-c", _RUN, given], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    assert "Error" not in found.stderr
    parts = zip(found.stdout.split("====")[1:], found.stderr.split("====")[1:], strict=True)
    for words, part in zip(said.values(), parts, strict=True):
        assert words in "".join(part)
