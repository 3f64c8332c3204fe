"""A file of runs: its lines are whole, its runs of one kind, and the records under docs go on."""

from __future__ import annotations

import errno
import fcntl
import importlib
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks import runs_file
from benchmarks.runs_file import RunsFile, differences, read_runs
from sldd.errors import InputError

RECORDS = Path(__file__).parents[2] / "docs" / "records"
SHARING = ("hospitals", "privacy", "receiver")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.jsonl"


def test_a_missing_folder_is_said_before_the_work(path: Path) -> None:
    with pytest.raises(InputError, match=r"--out .*runs\.jsonl: there is no folder"):
        RunsFile(path / "runs.jsonl", {})


@pytest.mark.parametrize("line", ['{"job": 2, "sco', "3", "\xff"])
def test_a_line_that_was_cut_off_is_named(path: Path, line: str) -> None:
    path.write_text(f'{{"job": 1, "settings": {{}}}}\n{line}', encoding="latin-1")
    for read in (lambda: RunsFile(path, {}), lambda: read_runs(path, ())):
        with pytest.raises(InputError, match=r"runs\.jsonl, line 2: no run, perhaps one that was cut off; remove"):
            read()


def test_runs_of_another_benchmark_are_named(path: Path) -> None:
    path.write_text('{"job": 1, "score": 0.5}\n{"job": 2}\n')
    assert len(read_runs(path, ["job"])) == 2
    with pytest.raises(
        InputError, match=r"runs\.jsonl, line 2: a run without score, of another benchmark or of before"
    ):
        read_runs(path, ["job", "score"])


def test_a_run_is_there_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RunsFile(path, {"steps": 3})
    file.append([{"job": 1, "form": form} for form in "ab"])
    before = path.read_text()
    assert [json.loads(line)["form"] for line in before.splitlines()] == ["a", "b"]

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
            file.append([{"job": 2, "form": form} for form in "ab"])
    assert path.read_text() == before
    assert [*path.parent.iterdir()] == [path]


def test_what_another_command_added_meanwhile_stays(path: Path) -> None:
    path.write_text('{"job": 0, "settings": {}}')  # and the end of the line is not there
    ours, theirs = RunsFile(path, {}), RunsFile(path, {})
    theirs.append([{"job": 1}])
    ours.append([{"job": 2}])
    assert [row["job"] for row in RunsFile(path, {}).rows] == [0, 1, 2]


def test_two_commands_that_add_at_once_lose_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = RunsFile(path, {}), RunsFile(path, {})
    other, write = threading.Thread(target=lambda: theirs.append([{"job": 2}])), runs_file.write_file

    def slow(path: Path, content: bytes) -> None:
        if threading.current_thread() is threading.main_thread():
            other.start()
            other.join(0.2)  # time enough, unless it waits for us
        write(path, content)

    monkeypatch.setattr(runs_file, "write_file", slow)
    ours.append([{"job": 1}])
    other.join()
    assert [row["job"] for row in RunsFile(path, {}).rows] == [1, 2]


def test_a_file_system_without_locks_keeps_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    RunsFile(path, {}).append([{"job": 1}])
    assert [row["job"] for row in RunsFile(path, {}).rows] == [1]


def test_runs_of_names_that_stood_for_something_else_are_refused(path: Path) -> None:
    jobs, ran = [{"arm": "plain", "seed": 0}, {"arm": "noise", "seed": 0}], []
    arms: dict[str, Any] = {"plain": {"steps": 1}, "noise": {"steps": 1, "by": {"sigma": 1}}}

    def work(job: dict[str, Any]) -> list[dict[str, Any]]:
        ran.append(job["arm"])
        return [{"score": 1}]

    defined = ("arm", lambda arm: arms[arm])
    for _ in range(2):
        RunsFile(path, defined=defined).add_missing(jobs, work)
    assert ran == ["plain", "noise"]
    arms["noise"] = {"steps": 1, "by": {"sigma": 4}}
    for seed in (0, 1):  # of which the table would be with those there
        with pytest.raises(InputError, match=r"runs of another arm noise \(by.sigma 1 there, 4 here\); choose"):
            RunsFile(path, defined=defined).add_missing([{"arm": "noise", "seed": seed}], work)
    RunsFile(path, defined=defined).add_missing(jobs[:1], work)
    assert ran == ["plain", "noise"]


def test_older_runs_count_as_of_todays_values(path: Path) -> None:
    path.write_text('{"arm": "plain", "settings": {"steps": 1}}\n')
    file = RunsFile(path, {"steps": 1, "halvings": 10}, added=["halvings"], defined=("arm", lambda arm: {"any": 1}))
    assert file.missing([{"arm": "plain"}]) == []
    with pytest.raises(InputError, match=r"other settings \(halvings None there, 10 here\)"):
        RunsFile(path, {"steps": 1, "halvings": 10})
    file.append([{"arm": "noise"}])
    with pytest.raises(InputError, match=r"other settings \(halvings 10 there, 12 here\)"):
        RunsFile(path, {"steps": 1, "halvings": 12}, added=["halvings"])


def test_differences_are_named_down_to_the_value() -> None:
    assert [*differences({"a": 1, "b": {"c": [1], "d": None}}, {"a": 1, "b": {"c": [2]}})] == [
        "b.c [1] there, [2] here"
    ]


@pytest.mark.parametrize("name", SHARING)
def test_a_table_of_nothing_is_refused(name: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module(f"benchmarks.sharing.{name}").main
    command = ["--out", str(path), "--table", str(path.with_name("table.csv"))]
    assert main(command) == 2
    assert f"benchmarks.sharing.{name}: --out {path}: no such file; " in capsys.readouterr().err
    path.touch()
    assert main(command) == 2
    assert f"{path}: no runs; " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "work", "words"),
    [
        ("hospitals", "run", "--score-stride 40"),
        ("privacy", "run", "--steps 120 --score-stride 40 --train-steps 600"),
        ("receiver", "curve", "--score-stride 24"),
    ],
)
def test_the_documented_commands_go_on_from_the_records(
    name: str, work: str, words: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"benchmarks.sharing.{name}")

    def again(*given: Any, **options: Any) -> None:
        assert given[:1] == ("one-image",), "which this network cannot take, so that the record has none"
        raise ValueError("Expected more than 1 value per channel when training")

    monkeypatch.setattr(module, work, again)
    monkeypatch.setattr(module, "table", lambda rows: [])
    monkeypatch.setattr(module, "_cohorts", lambda options: (None, None), raising=False)
    shutil.copy(RECORDS / f"{name}.jsonl", path)
    before = path.read_bytes()
    assert module.main(["--out", str(path), *words.split()]) == int(name == "privacy"), "whose control is not found"
    assert path.read_bytes() == before
