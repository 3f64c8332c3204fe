"""What a receiver's patients add to a package: rows resume, and a table has a line for each count."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import pytest

from benchmarks.runs_file import settings_of
from benchmarks.sharing.receiver import main


def test_a_folder_is_known_by_its_name_wherever_it_lies() -> None:
    options = argparse.Namespace(data="/home/somebody/films", public=None, steps=3, out=Path("runs.jsonl"))
    assert settings_of(options) == {"data": "films", "public": None, "steps": 3}


@pytest.mark.parametrize("inner_weights", ["all", "head"])
def test_a_run_resumes_and_makes_a_table(
    inner_weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, small = tmp_path / "runs.jsonl", (
        "--patients 20 --film 96 --size 24 --stride 12 --score-stride 24 --input 16 --backbone lenet --batch 6 "
        f"--steps 4 --train-steps 2 --draws 2 --counts 0 2 4 --films noisier --cache {tmp_path}/cache "
        f"--inner-weights {inner_weights}"
    )  # fmt: skip
    command = ["--out", str(out), *small.split()]
    assert main([*command, "--seeds", "1"]) == 0
    (row,) = map(json.loads, out.read_text().splitlines())
    assert (row["tested"], row["own"]) == (8, 6)
    assert {(point["arm"], point["count"]) for point in row["points"]} == {
        ("package", 0), *((arm, count) for arm in ("alone", "package") for count in (2, 4, 6)),
    }  # fmt: skip
    assert main([*command, "--seeds", "1"]) == 0
    assert len(out.read_text().splitlines()) == 1
    assert main(["--out", str(out), "--table", str(tmp_path / "table.csv")]) == 0
    with (tmp_path / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["own patients"] for line in lines] == ["0", "2", "4", "6"]
    (received,) = (point["auc"]["value"] for point in row["points"] if point["count"] == 0)
    assert lines[0]["package"] == f"{received:.2f} ({received:.2f} to {received:.2f})"
    assert (lines[0]["alone"], lines[1]["break-even"]) == ("", "")
    assert all(line["package adds"] for line in lines[1:])
    assert main([*command, "--steps", "5"]) == 2
    assert "holds runs of other settings (steps 4 there, 5 here)" in capsys.readouterr().err
