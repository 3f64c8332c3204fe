"""The race against other implementations."""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.distillation.race import OURS, main, race, table


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    pixels, classes = random.integers(256, size=(10_000, 28, 28), dtype="uint8"), np.arange(10_000, dtype="uint8") % 10
    for name, header, content in (("images-idx3", 16, pixels), ("labels-idx1", 8, classes)):
        with gzip.open(folder / f"t10k-{name}-ubyte.gz", "wb", compresslevel=0) as file:
            file.write(bytes(header) + content.tobytes())
    return folder


def test_a_run_takes_the_steps_that_fit_in(digits: Path) -> None:
    run = race(OURS, 0.5, 0, argparse.Namespace(data=digits))
    assert (run["racer"], run["seconds"], run["seed"]) == (OURS, 0.5, 0)
    assert run["steps"] >= 1
    assert 0.0 <= run["right"] <= 1.0


def test_a_table_shows_means_and_seeds() -> None:
    rows = [
        {"racer": racer, "seconds": seconds, "seed": seed, "right": right, "steps": 100}
        for racer, seconds, seed, right in [(OURS, 60.0, 1, 0.9), (OURS, 60.0, 0, 0.8), ("dd", 240.0, 0, 0.5)]
    ]
    assert table(rows).splitlines() == [
        "| % of test digits after | 60 core seconds | 240 core seconds |",
        "| --- | --- | --- |",
        "| this project, SLDD | 85.0 (80.0, 90.0; 100 steps) | not measured |",
        "| ssnl/dataset-distillation, DD | not measured | 50.0 (50.0; 100 steps) |",
    ]


def test_what_is_not_there_is_a_line(tmp_path: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert "no idx files" in capsys.readouterr().err
    assert main(["--data", str(digits), "--dd", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (f"{tmp_path}: no checkout of dataset-distillation (train_distilled_image.py)\n")
    kept = tmp_path / "runs.jsonl"
    kept.write_text(json.dumps({"racer": OURS, "settings": {"epochs": 9}}) + "\n")
    assert main(["--data", str(digits), "--out", str(kept)]) == 2
    assert "holds runs of other settings" in capsys.readouterr().err
