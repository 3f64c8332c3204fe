"""The state of a study, told from its files."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.records.records import read_study
from ledger.ledger import FORMAT
from study import status as module
from study.status import main, read_status

CELL = {"backbone": "net", "parameters": 10, "images": 2, "method": "sldd", "refused": None}


def _study(folder: Path, **lock: Any) -> Path:
    header = {
        "format": FORMAT,
        "name": "ours",
        "config": {"search": {"trials": 2}, "confirm": {"repeats": 1}},
        "provenance": {},
        "cells": [CELL | {"cell": "a"}, CELL | {"cell": "b"}, CELL | {"cell": "c", "refused": "too large"}],
    }
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(header))
    if lock:
        (folder / ".lock").write_text(json.dumps(lock))
    return folder


def _trial(study: Path, cell: str, number: int, phase: str, result: dict[str, Any] | None) -> Path:
    folder = study / "trials" / cell / str(number)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"backbone": "net", "phase": phase, "cell": cell, "index": number}))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    study = _study(tmp_path / "ours")
    for number in (0, 1):
        _trial(
            study, "a", number, "search", {"status": "done", "seconds": 40.0, "validation": {"hm": 0.5 + number / 10}}
        )
    _trial(study, "a", 2, "confirm", {"status": "done", "seconds": 40.0})
    _trial(study, "b", 0, "search", {"status": "failed", "error": "ValueError: no"})
    running = _trial(study, "b", 1, "search", None)
    (running / "worker.json").write_text(json.dumps({"worker": "x", "host": "node-7"}))
    (running / "checkpoint").mkdir()
    (running / "checkpoint" / "000000120.pt").touch()
    return study


def test_it_says_what_is_done_running_failed_and_left(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study)]) == 1, "a trial has failed"
    said = capsys.readouterr().out
    assert "ours: no driver runs it" in said
    assert "3 done, 1 running, 1 failed, 2 to go, about 80 s; best validation HM 0.60" in said
    assert "cells: 1 of 2 confirmed, 1 refused" in said
    assert "node-7" in said
    assert "120" in said
    assert "failed: b/0: ValueError: no" in said


def test_a_driver_of_this_machine_is_seen_alive(study: Path) -> None:
    import psutil

    since = psutil.Process().create_time()
    _study(study, process=os.getpid(), since=since, host=socket.gethostname())
    assert read_status(str(study)).alive
    _study(study, process=os.getpid(), since=since - 100, host=socket.gethostname())
    assert not read_status(str(study)).alive, "another process has its number now"


def test_a_driver_elsewhere_is_alive_while_it_renews(study: Path) -> None:
    _study(study, process=3, since=0.0, host="elsewhere")
    status = read_status(str(study))
    assert status.alive
    assert status.driver == "run by process 3 on elsewhere"
    os.utime(study / ".lock", (0, 0))
    status = read_status(str(study))
    assert not status.alive
    assert "was last heard of" in status.driver


def test_finished_means_that_nothing_is_left(tmp_path: Path) -> None:
    study = _study(tmp_path / "ours")
    for cell in "ab":
        for number, phase in enumerate(("search", "search", "confirm")):
            _trial(study, cell, number, phase, {"status": "done", "seconds": 1.0})
    assert read_status(str(study)).finished


def test_a_search_for_counts_is_finished_when_its_driver_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = _study(tmp_path / "ours")
    header = yaml.safe_load((study / "study.yaml").read_text())
    header["cells"][0]["counted"] = header["cells"][1]["counted"] = True
    (study / "study.yaml").write_text(yaml.safe_dump(header))
    for number, phase in enumerate(("search", "search", "confirm")):
        _trial(study, "a", number, phase, {"status": "done", "seconds": 1.0})
    assert not read_status(str(study)).finished, "whether the other count is needed, files do not tell"
    header["provenance"]["finished"] = "2026-01-01T00:00:00+00:00"
    (study / "study.yaml").write_text(yaml.safe_dump(header))
    assert main([str(study)]) == 0
    said = capsys.readouterr().out
    assert "ours: finished" in said
    assert "to go" not in said


def test_a_search_ends_where_its_core_seconds_are_spent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = _study(tmp_path / "ours")
    header = yaml.safe_load((study / "study.yaml").read_text())
    header["config"]["search"] = {"trials": 9, "core_seconds": 50.0}
    (study / "study.yaml").write_text(yaml.safe_dump(header))
    for number, phase in enumerate(("search", "search", "confirm")):
        _trial(study, "a", number, phase, {"status": "done", "seconds": 40.0, "core_seconds": 30.0})
    assert main([str(study)]) == 0
    assert "at most 10 to go" in capsys.readouterr().out, "all of the other cell's"
    _trial(study, "b", 0, "search", {"status": "done", "seconds": 60.0})
    _trial(study, "b", 1, "confirm", {"status": "done", "seconds": 60.0})
    assert read_status(str(study)).finished


def test_watching_ends_with_the_driver(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _study(study, process=3, since=0.0, host="elsewhere")
    monkeypatch.setattr(module.time, "sleep", lambda _: os.utime(study / ".lock", (0, 0)))
    assert main([str(study), "--watch", "1"]) == 1


def test_no_study_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "it has no study.yaml" in capsys.readouterr().err


def test_a_store_that_does_not_answer_is_told_in_one_line(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "read_study", _flaky(0))
    assert main([str(study)]) == 2
    assert capsys.readouterr().err == f"status: {study} cannot be read just now (Input/output error); try again later\n"


def test_watching_goes_on_where_a_store_does_not_answer_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _study(study, process=3, since=0.0, host="elsewhere")
    looks = iter([None, study])
    monkeypatch.setattr(module, "read_study", _flaky(1))
    monkeypatch.setattr(module.time, "sleep", lambda _: next(looks) and os.utime(study / ".lock", (0, 0)))
    assert main([str(study), "--watch", "1"]) == 1
    assert next(looks, None) is None


def _flaky(failing: int) -> Callable[[str], Any]:
    """Reads a study but at one of the calls, counted from 0."""
    calls = itertools.count()

    def read(where: str) -> Any:
        if next(calls) == failing:
            raise OSError(5, "Input/output error")
        return read_study(where)

    return read


def test_a_trial_that_ends_while_it_is_looked_at_is_no_error(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir

    def gone(folder: Path) -> Iterator[Path]:
        if folder.name == "checkpoint":
            shutil.rmtree(folder)
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", gone)
    (running,) = read_status(str(study)).running
    assert (running.host, running.step) == ("node-7", 0)
