"""Examples run as they are, that of the README too; the public interface costs nothing until it is asked for."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import sldd

ROOT = Path(__file__).parents[1]


def test_phantoms_are_distilled_scored_and_shared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hm = runpy.run_path(str(ROOT / "examples" / "distill_phantoms.py"))["main"](tmp_path, steps=10)
    assert f"test patients: HM {hm:.3f}" in capsys.readouterr().out
    assert sldd.load(tmp_path / "package.safetensors").images.shape == (1, 3, 1, 32, 32)
    assert (tmp_path / "images.png").is_file()


def test_the_readme_says_what_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    exec(compile(code, "README.md", "exec"), {})
    accuracy = float(re.findall(r"'accuracy': ([\d.]+)", capsys.readouterr().out)[0])
    assert accuracy > 0.8
    assert len(sldd.load("digits.safetensors").images[0]) == 10


def test_public_names_are_there_and_cost_nothing_until_asked_for() -> None:
    assert [getattr(sldd, name).__name__ for name in sldd.__all__] == sldd.__all__ == dir(sldd)
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        sldd.distil  # noqa: B018
    code = "import sys, sldd; print('torch' in sys.modules); sldd.distill; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
