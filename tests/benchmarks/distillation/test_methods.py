"""Every method on digits: jobs, what is refused before the work, the file that commands share, and the table."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.distillation.digit_data import Parts
from benchmarks.distillation.method_run import Budget, Run
from benchmarks.distillation.methods import main, table
from benchmarks.runs_file import RunsFile


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None, int]]:
    """Method, inner steps and seed of runs, which end at once."""
    found: list[tuple[str, int | None, int]] = []

    def measure(self: Run, parts: Parts, budget: Budget) -> dict[str, Any]:
        found.append((self.spec.cell.method, self.spec.cell.distill_epochs, self.spec.seed))
        return scored(0.5)

    monkeypatch.setattr(Run, "measure", measure)
    return found


def scored(known: float | None, *fresh: float | None, error: str | None = None) -> dict[str, Any]:
    return {"inner_lr": 0.1, "known": known, "fresh": [*fresh], "error": error, "steps": 1000, "core_seconds": 301.0}


def command(digits: Path, *words: str, out: Path | None = None) -> list[str]:
    few = ["--data", str(digits), "--images", "1", "--seeds", "1", "--backbone", "lenet", *words]
    return few if out is None else [*few, "--out", str(out)]


def test_what_is_not_there_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--methods", "dm", "--images", "1", "--seeds", "1"]) == 2
    assert "name their folder with --data" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--table"], ["--seconds", "0"], ["--seconds", "9", "--steps", "9"]])
def test_what_cannot_be_meant_is_refused(words: list[str], digits: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(command(digits, *words))


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ("--methods dm herding --images 301", "herding chooses from 300 of class 0, and is to find 301; ask for fewer"),
        ("--methods dm mtt --set match.networks=start", "mtt follows experts, which are drawn anew"),
        ("--methods dm --batch 5", "--batch: 5, and there are 10 classes"),
        ("--methods sldd dd --set match.augment=false", "--set match.augment=false: does nothing for sldd, dd"),
        ("--methods sldd --set distill.imag_init=real", "unknown setting distill.imag_init"),
        ("--methods sldd --set grid.images=3", "--set grid.images=3: takes KEY=VALUE, of distill.*, match.* or"),
        ("--methods sldd --set grid.label_init=[one_hot,uniform]", "--set grid.label_init: a run has one"),
    ],
)
def test_what_can_be_refused_is_before_the_first_run(
    words: str, refusal: str, digits: Path, ran: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(digits, *words.split())) == 2
    assert f"benchmarks.distillation.methods: {refusal}" in capsys.readouterr().err
    assert ran == []


def test_images_are_for_as_many_steps_as_their_method_makes_them_for(
    digits: Path, ran: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--methods", "sldd", "dm", "random_real"]
    assert main(command(digits, *words, out=tmp_path / "runs.jsonl")) == 0
    assert ran == [("sldd", 1, 0), ("dm", 30, 0), ("random_real", 1, 0)]
    assert main(command(digits, *words, "--epochs", "30", out=tmp_path / "runs.jsonl")) == 0
    assert ran[3:] == [("sldd", 30, 0), ("random_real", 30, 0)]
    assert [line.split(" | ")[:3] for line in capsys.readouterr().out.splitlines()[-5:]] == [
        ["| sldd", "1", "1"],
        ["| sldd", "1", "30"],
        ["| random_real", "1", "1"],
        ["| random_real", "1", "30"],
        ["| dm", "1", "30"],
    ]


def test_a_command_goes_on_with_its_file(
    digits: Path, ran: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs.jsonl"
    for seeds in ("1", "2", "2"):
        assert main(command(digits, "--methods", "sldd", "--seeds", seeds, out=out)) == 0
    assert [seed for _, _, seed in ran] == [0, 1]
    assert main(command(digits, "--methods", "sldd", "--seeds", "2", "--seconds", "300", "60", out=out)) == 0
    assert [row["seconds"] for row in RunsFile(out).rows] == [300, 300, 60, 60]
    capsys.readouterr()
    assert main(["--out", str(out), "--table"]) == 0
    assert len(ran) == 4
    assert "| sldd | 1 | 1 | 301 of 300 | 1,000 | 0.500 | - | - |" in capsys.readouterr().out


def test_settings_are_for_whom_they_do_something(
    digits: Path, ran: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "runs.jsonl", ["--set", "match.augment=false"]
    assert main(command(digits, "--methods", "dm", "sldd", *words, out=out)) == 0
    assert [row["definition"] for row in RunsFile(out).rows] == [{"match.augment": "false"}, {}]
    assert main(command(digits, "--methods", "sldd", "random_real", out=out)) == 0
    assert [method for method, _, _ in ran] == ["dm", "sldd", "random_real"]
    assert main(command(digits, "--methods", "dm", out=out)) == 2
    assert "runs of another method dm (match.augment 'false' there, None here)" in capsys.readouterr().err


def test_a_file_is_of_the_same_digits_wherever_they_lie(
    digits: Path, ran: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, elsewhere = tmp_path / "runs.jsonl", tmp_path / "elsewhere"
    shutil.copytree(digits, elsewhere)
    for folder in (digits, elsewhere):
        assert main(command(folder, "--methods", "dm", out=out)) == 0
    assert len(ran) == 1
    with gzip.open(elsewhere / "t10k-labels-idx1-ubyte.gz", "wb", compresslevel=0) as file:
        file.write(bytes(8 + 10_000))
    assert main(command(elsewhere, "--methods", "dm", out=out)) == 2
    assert "other settings (digits " in capsys.readouterr().err


def test_the_table_has_what_another_command_added_meanwhile(
    digits: Path, ran: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs.jsonl"
    other = {"method": "dm", "each": 1, "seed": 0, "epochs": 30, "seconds": 300.0} | scored(0.75, 0.5)

    def measure(self: Run, parts: Parts, budget: Budget) -> dict[str, Any]:
        RunsFile(out).append([other])
        return scored(0.25)

    monkeypatch.setattr(Run, "measure", measure)
    assert main(command(digits, "--methods", "sldd", out=out)) == 0
    assert [json.loads(line)["method"] for line in out.read_text().splitlines()] == ["dm", "sldd"]
    assert "| dm | 1 | 30 | 301 of 300 | 1,000 | 0.750 | 0.500 (0.500 to 0.500) | - |" in capsys.readouterr().out


def test_a_table_counts_what_diverged() -> None:
    rows = [
        {"method": method, "each": 10, "seed": seed, "epochs": 1, "seconds": None} | found
        for method, seed, found in [
            ("random_real", 0, scored(None, error="the loss is nan at outer step 3")),
            ("sldd", 0, scored(0.75, 0.5, None)),
            ("sldd", 1, scored(None, error="the loss is nan at outer step 3")),
            ("sldd", 2, scored(0.25, 0.25, 0.75)),
        ]
    ]
    titles, _, *lines = table(rows).splitlines()
    assert titles.startswith("| method | images a class | inner steps | core seconds | outer steps | known start | ")
    assert lines == [
        "| sldd | 10 | 1 | 301 | 1,000 | 0.500 | 0.500 (0.250 to 0.750) | 1 of 3 runs, 1 of 4 starts |",
        "| random_real | 10 | 1 | 301 | 1,000 | - | - | 1 of 1 runs |",
    ]
