"""One command for all commands."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from study.__main__ import COMMANDS, main
from study.config.cells import cells
from study.config.loader import load

ROOT = Path(__file__).parents[2]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(sum(line.split()[:1] == [name] for line in lines) == 2 for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_takes_the_words_after_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert "usage: python -m " in capsys.readouterr().out


def test_every_command_of_a_package_is_there(tmp_path: Path) -> None:
    package = str(tmp_path / "none.sldd")
    for words in (["finetune", package, str(tmp_path)], ["verify", package]):
        assert main(["package", *words]) == 2


def test_its_exit_status_is_that_of_the_command(tmp_path: Path) -> None:
    assert main(["status", str(tmp_path / "nowhere")]) == 2


def test_a_slip_of_the_pen_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["statsu"]) == 2
    assert capsys.readouterr().err == "sldd-study: no command statsu; did you mean status?\n"


def test_it_is_installed_under_its_name() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["sldd-study"].partition(":")
    assert getattr(importlib.import_module(module), function) is main


def test_cells_that_help_texts_name_are_the_demos() -> None:
    texts = [path.read_text() for room in ("sldd", "study", "analysis") for path in (ROOT / room).rglob("*.py")]
    named = {name for text in texts for name in re.findall(r"\w+-m\d+-one_hot-[\w=-]+", text)}
    assert named
    assert named <= {cell.name for cell in cells(load("demo", []).grid)}
