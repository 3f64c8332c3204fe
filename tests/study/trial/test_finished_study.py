"""A study that has run is opened with its own films alone; other films are told from those that are read otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledger.ledger import FORMAT, Ledger
from ledger.trial_folder import PACKAGE, TrialFolder
from sldd.data.settings import open_source
from sldd.errors import InputError
from study.config.loader import as_tree, load
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.trial.finished_study import Confirmed, OpenedStudy, open_study


def _begun_with(fingerprint: str | None, films: Path, folder: Path) -> str:
    """A study's folder, that was begun with these films unless a fingerprint says otherwise."""
    config = load("demo", ["data.source=folder", f"data.root={films}", f"data.cache={folder / 'cache'}"])
    before = fingerprint or open_source(config.data).fingerprint()
    ledger = Ledger(folder / "study")
    ledger.hold()
    told = {"cohort": {"fingerprint": before}}
    ledger.start({"format": FORMAT, "name": "demo", "config": as_tree(config), "provenance": told, "cells": []})
    ledger.close()
    return str(folder / "study")


def test_its_own_films_are_opened(cohort_folder: Path, tmp_path: Path) -> None:
    assert open_study(_begun_with(None, cohort_folder, tmp_path)).cohort.patients == 12


def _left(folder: Path, cells: list[Cell]) -> OpenedStudy:
    """The study in a folder once these cells' confirm trials are done, each with a package or not."""
    ledger = Ledger(folder)
    ledger.hold()
    ledger.pseudonyms([])
    for cell in cells:
        trial = ledger.begin(ledger.add(cell.name, TrialSpec(cell, "confirm", 1, 0.01).to_json()))
        if cell.images is not None:
            (trial.folder / PACKAGE).write_bytes(b"")
        TrialFolder(trial.folder, trial.config["owner"]).finish({"status": "done"})
    ledger.close()
    return open_study(str(folder))


def test_images_are_held_against_what_the_answer_holds_them_against(cohort_folder: Path, tmp_path: Path) -> None:
    folder = Path(_begun_with(None, cohort_folder, tmp_path))
    trained = Cell("lenet", "train", "as_is")
    others = [replace(trained, train_patches=9), replace(trained, train_classes="NP", train_view="whole"),
              replace(trained, norm="group")]  # fmt: skip
    several = [replace(trained, epochs=epochs, fold=fold) for epochs in (2, 10, 9) for fold in (0, 1)]
    distilled = [Cell("lenet", "sldd", "as_is", 2, "one_hot", 1, 1, epochs=epochs, fold=1) for epochs in (None, 2)]
    study = _left(folder, [*others, *several, *distilled])
    most, own = sorted(study.confirmed, key=lambda trial: trial.spec.cell.epochs or 0)
    assert [each.spec.cell.epochs for each in study.confirmed] == [None, 2]
    assert _beside(study, most) == replace(trained, epochs=10, fold=1), "the most epochs, and not the first by name"
    assert _beside(study, own) == replace(trained, epochs=2, fold=1)


def test_films_are_seen_whole_by_the_training_of_their_classes(cohort_folder: Path, tmp_path: Path) -> None:
    folder = Path(_begun_with(None, cohort_folder, tmp_path))
    trained = Cell("lenet", "train", "as_is", train_view="whole")
    study = _left(folder, [trained, Cell("lenet", "sldd", "as_is", 2, "one_hot", 1, 1)])
    assert _beside(study, study.confirmed[0]) == trained


def _beside(study: OpenedStudy, trial: Confirmed) -> Cell | None:
    found = study.training_beside(trial)
    return None if found is None else found.spec.cell


def test_other_films_are_refused(cohort_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the patients that the study began with"):
        open_study(_begun_with("0" * 64, cohort_folder, tmp_path))


def test_films_that_are_read_differently_are_said(cohort_folder: Path, tmp_path: Path) -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[12:52, 12:32], labels[12:52, 32:52] = 1, 2  # a label map, of which earlier versions took one half
    Image.fromarray(labels).save(cohort_folder / "masks" / "0.png")
    with pytest.raises(InputError) as caught:
        open_study(_begun_with(None, cohort_folder, tmp_path))
    assert "films are read differently by this version (mask: 1; docs/reading.md)" in str(caught.value)
