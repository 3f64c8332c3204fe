"""The examples run as they are, and packages of the public interface are what they should be."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import sldd
from sldd.package.rebuild.rebuild import rebuild

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_phantoms_are_distilled_shared_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hm = runpy.run_path(str(EXAMPLES / "distill_phantoms.py"))["main"](tmp_path, steps=10)
    said = capsys.readouterr().out
    assert f"16 test patients: HM {hm:.3f}" in said
    package = sldd.Package.load(tmp_path / "package.safetensors")
    assert package.images.shape == (1, 3, 1, 32, 32)
    assert not rebuild(package).training


def test_public_names_are_there_and_cost_nothing_until_asked_for() -> None:
    assert [getattr(sldd, name).__name__ for name in sldd.__all__] == sldd.__all__
    with pytest.raises(AttributeError, match="no attribute 'Distilation'"):
        sldd.Distilation  # type: ignore[attr-defined]  # noqa: B018
    code = "import sys, sldd; print('torch' in sys.modules); sldd.Package; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
