"""Ten images for MNIST's digits: a run that diverges misses its target, and the others go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.distillation.digits import main


def test_a_run_that_diverges_has_no_score(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    words = ["--seeds", "1", "--steps", "2", "--epochs", "1", "--batch", "20", "--outer-lr", "1e30"]
    assert main(["--data", str(digits), "--out", str(out), *words]) == 1
    assert json.loads(out.read_text()) == {
        method: [{"seed": 0, "test": None, "curve": []}] for method in ("dd", "sldd")
    }
    assert "sldd seed 0: diverged, the network's logits are not finite" in capsys.readouterr().out
