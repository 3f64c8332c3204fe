"""The command: what it leaves, what it says, what it refuses, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.text.anonymity import FORMAT, read_report, sentences
from ledger.ledger import FORMAT as LEDGER_FORMAT
from ledger.ledger import Ledger
from ledger.storage import open_folder
from ledger.trial_folder import TrialFolder
from sldd.data.cohort import prepare
from sldd.data.settings import open_source
from sldd.privacy_attacks.report import Candidates
from study.anonymity import _digest, main
from study.config.cells import cells
from study.config.loader import as_tree, load
from study.config.schema import StudyConfig
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext, trial_data
from study.trial.finished_study import Confirmed, open_study
from study.trial.reference_networks import FoldReferences
from study.trial.trial import run_trial
from tests.analysis.reports import anonymity_report

SETTINGS = [
    "name=tiny", "grid.backbone=[test_resnet]", "grid.images=[3]", "grid.method=sldd",
    "data.phantom={patients: 24, size: 64}",
    "data.split={validation: 0.2, test: 0.4}", "patches={size: 16, stride: 8, input_size: 32}",
    "outer={steps: 6, batch_size: 12, evaluations: 1, statistics_batches: 2}",
]  # fmt: skip


def run_here(folder: Path, cache: Path, seeds: tuple[int, ...], *settings: str) -> StudyConfig:
    """A study's ledger with confirm trials that ran here, without Ray."""
    config = load("demo", [*SETTINGS, f"data.cache={cache}", *settings])
    source = open_source(config.data)
    cohort = prepare(source, cache)
    ledger = Ledger(folder)
    ledger.hold()
    ledger.start(
        {
            "format": LEDGER_FORMAT,
            "name": config.name,
            "config": as_tree(config),
            "provenance": {"cohort": {"fingerprint": cohort.fingerprint}},
            "cells": [],
        }
    )
    context = TrialContext(
        config, cohort.folder, cohort.fingerprint, ledger.pseudonyms(source.patient_ids), ledger.stop_path
    )
    for cell in cells(config.grid, config.confirm.folds):
        for seed in seeds:
            spec = TrialSpec(cell, "confirm", seed, outer_lr=0.03, inner_lr=0.02, source=0)
            trial = ledger.begin(ledger.add(cell.name, spec.to_json()))
            for _ in run_trial(spec, context, TrialFolder(trial.folder, trial.config["owner"])):
                pass
    ledger.close()
    return config


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("anonymity") / "tiny"
    run_here(folder, tmp_path_factory.getbasetemp() / "cohorts", (1,))
    return folder


def _report(study: Path) -> tuple[Path, dict[str, Any]]:
    (path,) = study.rglob("anonymity.json")
    report = read_report(path.parent)
    assert report is not None
    return path, report


def _said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_report_is_left_with_numbers_and_nothing_of_a_patient(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (card,) = study.glob("trials/*/*/card.md")  # beside the package of a confirm trial
    assert "what it gives away of its patients was not measured" in card.read_text()
    assert main([str(study)]) == 0
    path, report = _report(study)
    assert "attacked with 10 patients who trained and 10 others" in card.read_text()
    assert card.parent == path.parent
    assert report["format"] == FORMAT
    assert report["patients"] == {"training": 10, "held_out": 10}
    assert report["images"] == 3
    assert report["controls"]["real"]["reidentification"]["pixel"]["matched"] == 3
    assert report["membership"]["calibrated"] is None
    assert report["theta_bn"]["pools"][-1]["patients"] == 10
    assert "PHANTOM" not in path.read_text()
    assert "P-" not in path.read_text()
    said = capsys.readouterr().out
    assert said.strip().splitlines() == sentences(report)
    assert not [each for each in path.parent.iterdir() if each.name.startswith(".")]


def test_the_same_command_measures_nothing_twice_and_references_calibrate(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(study), "--references", "2"]) == 0
    assert "2 distillations as references, about" in capsys.readouterr().out
    path, report = _report(study)
    assert report["membership"]["references"] == {"kind": "halves", "number": 2, "each": 1}
    assert report["membership"]["calibrated"]["training"] == 10
    written = path.stat().st_mtime_ns
    assert main([str(study), "--references", "2"]) == 0
    assert "references, about" not in capsys.readouterr().out
    assert path.stat().st_mtime_ns == written


def test_another_file_of_weights_is_measured_with(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, made = tmp_path / "weights.safetensors", []

    def report(_: object, trial: Confirmed, settings: dict[str, Any], *__: object) -> dict[str, Any]:
        made.append(settings)
        return anonymity_report() | {"settings": settings, "package": _digest(trial)}

    monkeypatch.setattr("study.anonymity.feature_network", lambda *_, **__: None)
    monkeypatch.setattr("study.anonymity._report", report)
    for content in ("one", "one", "two"):
        weights.write_text(content)
        assert main([str(study), "--features", f"lenet={weights}"]) == 0
    first, second = made
    assert first["weights"] != second["weights"]
    assert first | {"weights": ""} == second | {"weights": ""}


def test_a_study_on_an_object_store_is_measured_like_one_on_a_disk(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(study)]) == 0
    on_disk = capsys.readouterr().out
    store = open_folder("memory://anonymity/tiny")
    for path in study.rglob("*"):
        if path.is_file() and path.name != "anonymity.json":
            (store / path.relative_to(study).as_posix()).write_bytes(path.read_bytes())
    assert main(["memory://anonymity/tiny"]) == 0
    assert capsys.readouterr().out == on_disk


def test_bad_input_gets_one_line(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no study" in _said(capsys, str(tmp_path / "none"))
    assert "--cell other: no confirmed package; there are test_resnet-m3" in _said(
        capsys, str(study), "--cell", "other"
    )
    assert "there is no backbone 'convnett'" in _said(capsys, str(study), "--features", "convnett")
    with pytest.raises(SystemExit, match="2"):
        main([str(study), "--references", "3"])


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("study.anonymity.feature_network", lambda *_, **__: pytest.fail("it measures"))
    monkeypatch.setattr("study.anonymity.tempfile.TemporaryFile", read_only)
    said = _said(capsys, str(study), "--features", "lenet")
    assert "cannot be written to (Read-only file system), where its report goes" in said


def test_a_disk_that_fills_meanwhile_is_told_in_one_line(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("study.anonymity._report", lambda *_: {})
    monkeypatch.setattr("study.anonymity.write_whole", full)
    assert "(No space left on device); the same command goes on" in _said(capsys, str(study), "--features", "lenet")


def test_other_patients_are_refused(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    header = (study / "study.yaml").read_text().replace("patients: 24", "patients: 26")
    (changed / "study.yaml").write_text(header)
    assert "not the patients that the study began with" in _said(capsys, str(changed))
    assert not list(changed.rglob("anonymity.json"))


def test_without_a_package_there_is_nothing_to_measure(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "study.yaml").write_text((study / "study.yaml").read_text())
    assert "no confirmed package in this study" in _said(capsys, str(empty))


def test_references_attack_ordinary_training_beside_the_package_as_the_control(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tiny"
    run_here(
        folder,
        tmp_path_factory.getbasetemp() / "cohorts",
        (1,),
        "grid.method=[sldd,random_real,train]",
        "grid.backbone=[lenet]",
        "train={steps: 40}",
    )
    study = open_study(str(folder))
    assert [trial.spec.cell.method for trial in study.confirmed] == ["sldd"]
    assert [trial.spec.cell.method for trial in study.trained] == ["train"]
    assert main([str(folder), "--references", "2"]) == 0
    said = capsys.readouterr().out
    assert "2 distillations as references and 3 trainings for the control, about" in said
    _, report = _report(folder)
    control = report["membership"]["control"]
    assert control["trial"] == study.trained[0].name
    assert control["found"]["training"] == 10
    assert report["settings"]["control"] == control["trial"]
    assert f"As a control, on ordinary training of the same network ({control['trial']}) it has AUC" in said


@pytest.mark.slow
def test_where_folds_rotate_the_other_folds_calibrate(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(
        tmp_path / "tiny",
        tmp_path_factory.getbasetemp() / "cohorts",
        (1, 2),
        "confirm.folds=2",
        "data.split={validation: 0.2}",
        "grid.backbone=[lenet]",
    )
    study = open_study(str(tmp_path / "tiny"))
    assert [trial.family for trial in study.confirmed] == [study.confirmed[0].cell.removesuffix("-f0")] * 4
    assert main([str(tmp_path / "tiny"), "--packages", "1"]) == 0
    reports = [json.loads(path.read_text()) for path in (tmp_path / "tiny").rglob("anonymity.json")]
    assert len(reports) == 2
    for report in reports:
        assert report["membership"]["references"] == {"kind": "folds", "number": 3, "each": 1}
        assert set(report["settings"]["folds"]) == {trial.name for trial in study.confirmed} - {report["trial"]}
        assert report["theta_bn"] is None  # a network without batch norm
    assert "calibrated by 3 references of other folds and seeds, 1 for each patient" in capsys.readouterr().out
    trial = study.confirmed[0]
    data = trial_data(study.context, trial.spec.cell.fold)
    views, split = data.views, data.split
    assert views is not None
    candidates = Candidates(views, split.train, split.test)
    references = FoldReferences(study, torch.device("cpu")).of(trial, candidates)
    assert references is not None
    for other, unseen in zip(study.confirmed[1:], references.unseen, strict=True):
        theirs = trial_data(study.context, other.spec.cell.fold).split
        seen = {*theirs.train, *theirs.validation}
        assert not {patient for patient, free in zip(candidates.patients, unseen, strict=True) if free} & seen
    assert np.isfinite(references.losses).all()
