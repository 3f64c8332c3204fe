"""A study that has run is opened with its own films alone; other films are told from those that are read otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledger.ledger import FORMAT, Ledger
from sldd.data.settings import open_source
from sldd.errors import InputError
from study.config.loader import as_tree, load
from study.trial.finished_study import open_study


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
