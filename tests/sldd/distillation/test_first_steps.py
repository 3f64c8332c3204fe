"""A short distillation by the defaults: what is measured, and what is said of what fails."""

from __future__ import annotations

import csv
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from sldd.distillation import first_steps as module
from sldd.distillation.audit import main
from sldd.distillation.first_steps import (
    NOT_RUN,
    FirstSteps,
    first_steps,
    in_processes,
    read_first_steps,
    write_first_steps,
)

CPU = torch.device("cpu")


def test_an_easy_network_learns() -> None:
    row = first_steps("resnet", "test_resnet", steps=20, device=CPU, start="near_linear")
    assert row.learned
    assert (row.family, row.input_size, row.steps, row.device, row.note) == ("resnet", 96, 20, "cpu", "")


def test_what_goes_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ArithmeticError("the loss is nan at outer step 1")

    monkeypatch.setattr("sldd.distillation.first_steps._distil", fails)
    row = first_steps("", "test_resnet", steps=2, device=CPU, start="xavier")
    assert not row.learned
    assert row.note == "at 96 px: the loss is nan at outer step 1", "no other size is tried: it takes this one"


def test_the_smallest_side_that_a_network_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def distil(network: object, side: int, *_: object) -> tuple[float, float]:
        if side < 128:
            raise RuntimeError("input too small")
        return 0.5, 0.1

    monkeypatch.setattr("sldd.distillation.first_steps._distil", distil)
    row = first_steps("", "test_resnet", steps=2, device=CPU, start="xavier")
    assert (row.input_size, row.note) == (128, "")


def test_processes_compute_as_trials_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def pool(workers: int, _: object, **first: Any) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(workers, **first)

    monkeypatch.setattr(module, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(module, "phantoms", lambda: None)
    monkeypatch.setattr(module, "first_steps", lambda *_, **__: torch.backends.cudnn.allow_tf32)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert list(in_processes([("", "lenet")], steps=1, device=CPU, start="xavier", workers=1)) == [False]


def test_no_more_run_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Demands of 1, 2, 3 and 9 of 4 that are free: 3 waits until 1 and 2 are done, 9 is never tried."""
    demands, at_work, seen = {"a": 1, "b": 2, "c": 3, "d": 9}, set[str](), []

    def work(family: str, name: str, **_: object) -> FirstSteps:
        at_work.add(name)
        time.sleep(0.2)
        seen.append(frozenset(at_work))
        at_work.remove(name)
        return FirstSteps(family, name, 1, 96, 1, 0.5, 0.5, 0.1, "cpu", "")

    monkeypatch.setattr(module, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    monkeypatch.setattr(module, "phantoms", lambda: None)
    monkeypatch.setattr(module, "first_steps", work)
    monkeypatch.setattr(module, "free_memory", lambda _: 4 / module._USED + 1e-9)
    monkeypatch.setattr(module, "_demand", demands.__getitem__)
    monkeypatch.setattr(module, "_parameters", demands.__getitem__)
    found = list(in_processes([("", name) for name in "dcba"], steps=1, device=CPU, start="xavier", workers=3))
    assert sorted(row.member for row in found if row.learned) == ["a", "b", "c"]
    assert [row.note for row in found if row.member == "d"] == ["not run here: needs about 0 GiB"]
    assert {"a", "b"} in seen
    assert all(sum(demands[name] for name in together) <= 4 for together in seen)


@pytest.mark.slow
def test_a_killed_process_takes_no_other_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "phantoms", lambda: None)
    monkeypatch.setattr(module, "first_steps", _killed_or_done)
    rows = in_processes([("", "test_vit"), ("", "test_resnet")], steps=1, device=CPU, start="xavier", workers=2)
    found = {row.member: row for row in rows}
    assert found["test_resnet"].learned
    assert found["test_vit"].note.startswith(f"{NOT_RUN} to its end: its process was killed")


def _killed_or_done(family: str, name: str, **_: object) -> FirstSteps:
    if name == "test_vit":
        os.kill(os.getpid(), signal.SIGKILL)
    return FirstSteps(family, name, 1, 96, 1, 0.5, 0.5, 0.1, "cpu", "")


def test_what_memory_kept_from_running_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "table.csv"
    note = f"{NOT_RUN}: needs about 40 GiB"
    waiting = FirstSteps("", "vgg11", 1, None, 7, None, None, None, "cpu", note, "xavier")
    write_first_steps([FirstSteps("", "test_vit", 1, None, 7, None, None, None, "cpu", note, "xavier"), waiting], table)
    done = FirstSteps("", "test_vit", 1, 96, 7, 0.5, 0.5, 0.1, "cpu", "", "xavier")
    monkeypatch.setattr("sldd.distillation.audit.in_processes", lambda *_, **__: iter([done]))
    assert main(["learn", "test_vit", "--steps", "7", "--start", "xavier", "--out", str(table)]) == 1
    assert read_first_steps(table, 7, "xavier") == [done, waiting], "what was not asked for keeps its row"


@pytest.mark.slow
def test_command_writes_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.csv"
    assert main(["learn", "test_resnet", "--steps", "2", "--out", str(table)]) == 1
    assert "0 of 1 learn by the defaults" in capsys.readouterr().out
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert (row["member"], row["input_size"], row["steps"]) == ("test_resnet", "96", "2")


def test_command_goes_on_with_what_its_table_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        FirstSteps("resnet", "test_resnet", 372691, 96, 7, 0.5, 0.4551, 0.1, "cpu", ""),
        FirstSteps("", "test_vit", None, None, 7, None, None, None, "cpu", "at 512 px: no, nothing"),
    ]
    table = tmp_path / "table.csv"
    write_first_steps(rows, table)
    written = table.read_bytes()
    assert read_first_steps(table, 7, "xavier") == sorted(rows, key=lambda row: row.family)
    options = ["--start", "xavier", "--out", str(table)]
    assert main(["learn", "test_resnet", "test_vit", "--steps", "7", *options]) == 1
    assert "2 are in" in capsys.readouterr().out
    assert main(["learn", "test_resnet", "--steps", "8", *options]) == 2
    assert "has rows of 7 steps from xavier, not 8 from xavier; name another" in capsys.readouterr().err
    assert main(["learn", "test_resnet", "--steps", "7", "--out", str(table)]) == 2
    assert "not 7 from near_linear" in capsys.readouterr().err
    assert table.read_bytes() == written


@pytest.mark.parametrize(
    "content", [b"patient,label\n", b"patient,label\n1,0\n", b"family,steps\nvit,7\n", b"\xff\xfe"]
)
def test_a_file_of_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    other = tmp_path / "labels.csv"
    other.write_bytes(content)
    assert main(["learn", "test_resnet", "--steps", "1", "--out", str(other)]) == 2
    assert "is no table of this command; name another file" in capsys.readouterr().err
    assert other.read_bytes() == content


@pytest.mark.parametrize("command", ["audit", "learn"])
def test_a_missing_folder_is_found_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("sldd.distillation.audit._one_step", lambda *_: pytest.fail("worked first"))
    monkeypatch.setattr("sldd.distillation.audit.in_processes", lambda *_, **__: pytest.fail("worked first"))
    assert main([command, "test_resnet", "--out", str(tmp_path / "none" / "table.csv")]) == 2
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "line"),
    [(["--steps", "0"], "--steps 0: at least 1"), (["--device", "tpu"], "--device tpu: there is none here")],
)
def test_bad_options_are_one_line(options: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "test_resnet", *options]) == 2
    assert line in capsys.readouterr().err
