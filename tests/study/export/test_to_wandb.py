"""A study for Weights & Biases, offline, read back from its files by its client's own messages."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto.wandb_internal_pb2 import Record

from analysis.records.records import read_study
from study.export.__main__ import main
from study.export.cells import read_cells
from study.export.to_wandb import MARK, Runs

CELL = "net-m2-one_hot-as_is-sldd-s1e1"


def records(path: Path) -> Iterator[Record]:
    """The records of a ``.wandb`` file: LevelDB's log format, blocks of 32 KiB after a header of seven bytes."""
    content, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # the whole of a record, or its last part
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def wandb_runs(folder: Path) -> list[dict[str, Any]]:
    """What each offline run below a folder holds."""
    found = []
    for path in sorted(folder.rglob("*.wandb")):
        run: dict[str, Any] = {"history": [], "summary": {}, "artifacts": [], "exit": None}
        for record in records(path):
            match record.WhichOneof("record_type"):
                case "run":
                    run |= {"id": record.run.run_id, "name": record.run.display_name, "group": record.run.run_group}
                    run |= {"project": record.run.project, "job": record.run.job_type, "host": record.run.host}
                    config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
                    run["config"] = run.get("config", {}) | config
                case "history":
                    items = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
                    run["history"].append({name: json.loads(value) for name, value in items.items()})
                case "summary":
                    for item in record.summary.update:
                        run["summary"][item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
                case "artifact":
                    run["artifacts"].append([entry.path for entry in record.artifact.manifest.contents])
                case "exit":
                    run["exit"] = record.exit.exit_code
        found.append(run)
    return found


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_PROJECT", "WANDB_DIR", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("offline")
def test_wandb_has_a_run_a_trial_once(run, study):
    assert run("--wandb", "ours", "--packages") == ["wandb: 5 runs new, 0 there before, in project ours"]
    runs = {each["name"]: each for each in wandb_runs(study.folder)}
    assert runs.keys() == {*(f"{CELL}/{number}" for number in (0, 1, 2, 11)), "net-train/0"}
    confirmed = runs[f"{CELL}/11"]
    assert (confirmed["project"], confirmed["group"], confirmed["job"]) == ("ours", CELL, "confirm")
    assert (confirmed["config"]["backbone"], confirmed["config"]["outer_lr"]) == ("net", 0.02)
    curve = [(entry["outer_step"], entry["loss"]) for entry in confirmed["history"] if "loss" in entry]
    assert curve == [(100, 1.5), (200, 1.25)]
    assert (confirmed["summary"]["test_hm"], confirmed["summary"]["seconds"]) == (0.85, 31.25)
    (picture,) = [entry for entry in confirmed["history"] if "distilled/images.path" in entry]
    files = next(study.folder.rglob(f"*{confirmed['id']}"))
    assert (files / "files" / picture["distilled/images.path"]).is_file()
    assert confirmed["artifacts"] == [["package.safetensors"]]
    sent = b"".join(path.read_bytes() for path in files.rglob("*") if path.is_file() and path.parent.name != "logs")
    for word in (b"P-0123", b"votes", b"pseudonym", str(study.folder).encode()):
        assert word not in sent, word
    assert confirmed["host"] == ""
    assert (confirmed["exit"], runs[f"{CELL}/2"]["exit"]) == (0, 1)
    assert run("--wandb", "ours") == ["wandb: 0 runs new, 5 there before, in project ours"]
    assert len(wandb_runs(study.folder)) == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("offline")
def test_wandb_sends_to_another_project_what_one_has(run, study):
    for project in ("ours", "theirs"):
        assert run("--wandb", project) == [f"wandb: 5 runs new, 0 there before, in project {project}"]
    assert len(wandb_runs(study.folder)) == 10


@pytest.mark.usefixtures("offline")
def test_wandb_that_is_disabled_notes_nothing(run, study, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb.teardown()  # it reads its settings once a process
    try:
        assert run("--wandb", "ours") == ["wandb: 0 runs new, 0 there before, in project ours"]
    finally:
        wandb.teardown()
    assert list(study.folder.rglob(MARK)) == []


def test_wandb_sends_to_another_server_what_one_has(study, monkeypatch):
    runs, (_, (trial, *_)) = Runs(read_study(study.folder), "ours"), next(read_cells(read_study(study.folder)))
    mark = {"run": runs._name(trial), "project": "ours"}
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "https://one.example")
    assert runs._was_sent(trial, mark), "by an earlier version, or offline"
    assert runs._was_sent(trial, mark | {"server": "https://one.example"})
    assert not runs._was_sent(trial, mark | {"server": "https://two.example"})


@pytest.mark.usefixtures("offline")
def test_wandb_has_a_trial_again_that_went_on_from_a_rung(study):
    runs, (_, (trial, *_)) = Runs(read_study(study.folder), "ours"), next(read_cells(read_study(study.folder)))
    mark = {"run": runs._name(trial), "project": "ours"}
    further = replace(trial, went_on=True)
    assert [runs._was_sent(further, mark | {"step": step}) for step in (100, 200)] == [False, True]
    assert not runs._was_sent(further, mark), "by an earlier version, which did not say up to where"
    assert runs._was_sent(trial, mark | {"step": 100})


@pytest.mark.usefixtures("offline")
def test_without_a_key_nothing_is_asked(study, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert main([str(study.folder), "--wandb", "ours"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("export: --wandb: there is no key here; wandb login")
