"""Fuzz the readers of a study's files: its ledger, its page and its checkpoints."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from analysis.dashboard import write_dashboard
from analysis.records.records import NotAStudyError, read_study, write_records
from analysis.tables.cli import cell_table
from analysis.text.anonymity import FORMAT, MEASURES, REPORT, read_report, sentences
from benchmarks.fuzz.guard import Inputs, Prepared, Reader
from benchmarks.fuzz.mutations import Random, deep_json, pick, spoil, spoil_tree, to_json
from benchmarks.fuzz.yaml_files import spoil_yaml
from benchmarks.speed.page import write_study
from ledger.ledger import Ledger
from ledger.trial_folder import TrialFolder
from sldd.errors import InputError
from study.config.loader import parse
from study.status import describe, read_status


def _found() -> dict[str, Any]:
    return {
        "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6, "p": 0.6, "tpr": 0.05, "tpr_low": 0.0, "tpr_high": 0.15,
        "false_alarms": 0, "training": 20, "held_out": 20,
    }  # fmt: skip


def _subject() -> dict[str, Any]:
    near = {
        "training": 0.41, "held_out": 0.4, "effect": _found(), "highest": 0.45, "unseen": 0.6, "unseen_highest": 0.8,
        "beyond": 0, "copies": 0, "copy_p": 0.5,
    }  # fmt: skip
    tied = {
        "images": 3, "chance": 0.5, "first": 2, "first_p": 0.4, "few": 0.53, "few_p": 0.4, "tied": 0, "tied_p": 0.5,
        "matched": 3,
    }  # fmt: skip
    return {"nearest": dict.fromkeys(MEASURES, near), "reidentification": dict.fromkeys(MEASURES, tied)}


def _report() -> dict[str, Any]:
    references = {"kind": "halves", "number": 8, "each": 4}
    return {
        "format": FORMAT, "trial": "n/7", "cell": "n", "package": "00", "settings": {}, "images": 3,
        "patients": {"training": 20, "held_out": 20}, "patches": {"training": 1234, "held_out": 1200},
        "divided": "random", "protocol": "validation",
        "membership": {"raw": _found(), "calibrated": _found(), "references": references},
        "theta_bn": {"found": _found(), "pools": [{"patients": 2, "auc": 0.97, "tpr": 0.9}]},
        "controls": {"real": _subject(), "noise": _subject()}, **_subject(),
    }  # fmt: skip


def _write_ledger(folder: Path) -> tuple[Path, Callable[[Random], Inputs]]:
    """A study of two cells and twenty trials, and what spoils one of its files."""
    study = folder / "study"
    write_study(study, 20)
    confirmed = sorted((study / "trials").rglob("package.safetensors"))
    (confirmed[0].parent / REPORT).write_text(json.dumps(_report()))
    name = str(confirmed[0].parent.relative_to(study))
    lock = {"token": "00", "process": os.getpid(), "since": 0.0, "host": "elsewhere", "renewals": 3}
    (study / ".lock").write_text(json.dumps(lock))
    described = yaml.safe_load((study / "study.yaml").read_text())
    described |= {
        "config": {
            "grid": [{"backbone": ["lenet"], "images": [1, 2]}],
            "search": {"trials": 7},
            "confirm": {"repeats": 3, "folds": None},
            "minimum": {"margin": 0.05},
        },
        "provenance": {"versions": {"torch": "2.9.0"}, "cohort": {"patients": 60, "splits": {"train": 24}}},
        "command": "python -m study.run demo",
    }
    (study / "study.yaml").write_text(yaml.safe_dump(described))
    contents = {
        file: (study / file).read_bytes()
        for file in (f"{name}/{each}" for each in ("config.json", "result.json", REPORT))
    }
    contents[".lock"] = (study / ".lock").read_bytes()
    trees = {file: json.loads(content) for file, content in contents.items()}
    package = confirmed[0].read_bytes()

    def make(random: Random) -> Inputs:
        what = random.random()
        if what < 0.2:
            return {"study/study.yaml": spoil_yaml(described, random)}
        if what < 0.25:
            return {f"study/{name}/package.safetensors": spoil(package, random)}
        file = pick(random, sorted(contents))
        if what < 0.3:
            return {f"study/{file}": deep_json(random)}
        if what < 0.45:
            return {f"study/{file}": spoil(contents[file], random)}
        return {f"study/{file}": to_json(spoil_tree(trees[file], random))}

    return study, make


def _ledger(folder: Path) -> Prepared:
    """What reads a study's records: the driver, the tables, the reports, and its status."""
    path, make = _write_ledger(folder)

    def read() -> None:
        study = read_study(path)
        write_records(path)
        for trial in study.records["trial"]:
            report = read_report(study.trial_folder(str(trial)))
            if report is not None:
                sentences(report)
        describe(read_status(str(path)))
        ledger = Ledger(path)
        header = ledger.header()
        ledger._scan()
        if header is not None:
            parse(header["config"] | {"name": "x"} if isinstance(header["config"], dict) else header["config"])

    return make, read


def _page(folder: Path) -> Prepared:
    path, make = _write_ledger(folder)
    return make, lambda: (write_dashboard(path), cell_table(read_study(path)))


def _checkpoint(folder: Path) -> Prepared:
    (folder / "checkpoint").mkdir()
    (folder / "config.json").write_text(json.dumps({"owner": "us"}))
    state = {"step": 7, "images": torch.zeros(3, 8, 8), "history": [{"loss": 1.0}]}
    seeds = []
    for compressed in (True, False):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=compressed)
        seeds.append(file.getvalue())
    worker = {"worker": "w", "host": "h", "step": 7, "lost": 1, "errors": 1, "error": "x", "ended": False}
    (folder / "worker.json").write_text(json.dumps(worker))
    (folder / "checkpoint" / "000000007.pt").write_bytes(seeds[0])

    def make(random: Random) -> Inputs:
        if random.random() < 0.3:
            return {"worker.json": to_json(spoil_tree(worker, random))}
        return {"checkpoint/000000007.pt": spoil(pick(random, seeds), random)}

    def read() -> None:
        trial = TrialFolder(folder, "us")
        trial.load_checkpoint(torch.device("cpu"))
        (folder / "worker.json").write_text(json.dumps(worker))

    return make, read


READERS = [
    Reader("checkpoint", _checkpoint, (InputError,), share=4, enclosed=True),
    Reader("ledger", _ledger, (InputError, NotAStudyError), share=5),
    Reader("page", _page, (NotAStudyError,), share=1, patience=10),  # it is drawn, and its design simulated
]
