"""The ablation goes on with runs of variants that still mean the same."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.distillation import ablation
from tests.benchmarks.test_runs_file import RECORDS

SMALL = [
    "--networks", "lenet", "--variants", "defaults", "--seeds", "0", "--steps", "4", "--side", "32", "--patients", "8",
]  # fmt: skip


def test_runs_of_a_variant_that_meant_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    job = {"network": "lenet", "variant": "defaults", "seed": 0, "images": 3, "steps": 4, "side": 32, "patients": 8}
    row = job | {"difficulty": 0.5, "seconds": 7.0, "hm": 0.75, "patch_accuracy": 0.5}
    other = row | {"steps": 5, "hm": 0.25}
    kept = tmp_path / "runs.jsonl"
    command = [*SMALL, "--out", str(kept)]

    def keep(**more: object) -> None:
        kept.write_text("".join(json.dumps(each | more) + "\n" for each in (row, other)))

    keep()  # of before definitions were kept
    assert ablation.main(command) == 0
    assert "| defaults | 0.75 / 0.50 (1 x 7 s) |" in capsys.readouterr().out
    keep(definition=asdict(ablation.VARIANTS["defaults"]))
    assert ablation.main(command) == 0
    changed = replace(ablation.VARIANTS["defaults"], outer_lr=0.7)
    monkeypatch.setitem(ablation.VARIANTS, "defaults", changed)
    assert ablation.main(command) == 2
    assert (
        "runs of another variant defaults (outer_lr 0.03 there, 0.7 here); choose another --out"
        in capsys.readouterr().err
    )


def test_the_record_from_before_definitions_were_kept_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ablation, "prepare", lambda source, cache: None)
    monkeypatch.setattr(ablation, "build", lambda name, input_size: None)
    monkeypatch.setattr(ablation, "ProcessPoolExecutor", lambda *given: nullcontext())  # which runs nothing
    kept = tmp_path / "ablation.jsonl"
    shutil.copy(RECORDS / "ablation.jsonl", kept)
    before = kept.read_bytes()
    rows = [json.loads(line) for line in before.splitlines()]
    networks = {row["network"] for row in rows if row["steps"] == 400}
    variants = ["near_linear", "defaults", "train_near_linear", "train"]
    words = ["--steps", "400", "--seeds", "0", "--variants", *variants, "--networks", *sorted(networks)]
    assert ablation.main([*words, "--out", str(kept)]) == 0
    assert kept.read_bytes() == before
    assert "not measured" not in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablation.main([*SMALL, "--out", str(tmp_path / "nowhere" / "runs.jsonl")]) == 2
    assert "there is no folder" in capsys.readouterr().err
