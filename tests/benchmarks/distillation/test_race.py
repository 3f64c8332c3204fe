"""The race against other implementations."""

from __future__ import annotations

import argparse
import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.distillation import race as script
from benchmarks.distillation.digits import Digits
from benchmarks.distillation.race import OURS, main, race, table
from benchmarks.runs_file import RunsFile
from tests.benchmarks.test_runs_file import RECORDS


def test_a_run_takes_the_steps_that_fit_in(digits: Path) -> None:
    run = race(OURS, 0.5, 0, argparse.Namespace(data=digits))
    assert (run["racer"], run["seconds"], run["seed"]) == (OURS, 0.5, 0)
    assert run["steps"] >= 1
    assert 0.0 <= run["right"] <= 1.0


def test_a_run_that_diverges_is_kept_without_a_score(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "OUTER_LR", 1e30)
    run = race(OURS, 0.1, 0, argparse.Namespace(data=digits))
    assert run["right"] is None
    good = run | {"right": 0.5, "seed": 1, "steps": run["steps"]}
    assert f"| 50.0 (diverged, 50.0; {run['steps']} steps) |" in table([run, good])
    assert "| - (diverged; " in table([run])


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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "dd"
    folder.mkdir()
    (folder / "train_distilled_image.py").write_text("Trainer = None\n")
    return folder


def test_runs_of_another_checkout_or_of_other_digits_are_refused(
    checkout: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "runs.jsonl"
    command = ["--data", str(digits), "--dd", str(checkout), "--out", str(kept), "--seconds", "1", "--seeds", "0"]

    def all_at_once(jobs: list[dict[str, Any]], file: RunsFile, options: argparse.Namespace) -> None:
        for job in jobs:
            file.append([job | {"right": 0.5, "steps": 1}])

    monkeypatch.setattr(script, "_run_all", all_at_once)
    assert main(command) == 0
    assert main(command) == 0
    assert len(kept.read_text().splitlines()) == 2
    (checkout / "networks.py").write_text("# of another revision\n")
    assert main(command) == 2
    assert "runs of another racer dd (checkout " in capsys.readouterr().err
    assert main([word for word in command if word not in ("--dd", str(checkout))]) == 0, "ours are still ours"
    other = Digits(torch.zeros(1, 1, 28, 28), torch.zeros(1, dtype=torch.long))
    monkeypatch.setattr(script, "read_digits", lambda folder: other)
    assert main(command) == 2
    assert "other settings (digits " in capsys.readouterr().err


def test_the_record_from_before_digits_and_checkouts_were_kept_goes_on(
    checkout: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "ProcessPoolExecutor", lambda *given, **options: nullcontext())  # which runs nothing
    kept = tmp_path / "race.jsonl"
    shutil.copy(RECORDS / "race.jsonl", kept)
    before = kept.read_bytes()
    assert main(["--data", str(digits), "--dd", str(checkout), "--sldd", str(checkout), "--out", str(kept)]) == 0
    assert kept.read_bytes() == before
