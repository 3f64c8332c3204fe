"""Deduplication: the same pixels under two patients are refused, whatever the files are called; within one, said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.data.cohort import prepare
from sldd.errors import InputError
from sldd.sources.folder import FolderSource
from tests.conftest import write_manifest

FILM = np.random.default_rng(1).integers(0, 256, (32, 40), dtype=np.uint8)


def _folder(root: Path, second: np.ndarray, patients: tuple[str, str, str], name: str = "b.tif") -> FolderSource:
    root.mkdir(exist_ok=True)
    Image.fromarray(FILM).save(root / "a.png")
    Image.fromarray(FILM[::-1]).save(root / "other.png")  # the same sums
    Image.fromarray(second).save(root / name)
    one, two, three = patients
    write_manifest(root, [f"{one},a.png,,1", f"{two},other.png,,1", f"{three},{name},,0"])
    return FolderSource(root)


@pytest.mark.parametrize("name", ["b.png", "b.tif"])
def test_two_patients(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        prepare(_folder(tmp_path / "films", FILM, ("DOE", "ROE", "POE"), name), tmp_path / "cache")
    assert str(caught.value) == (
        "manifest.csv line 4: the same pixels as manifest.csv line 2, but another patient; "
        "correct the patient or remove one of the two"
    )
    assert not list((tmp_path / "cache").iterdir())


def test_one_patient(tmp_path: Path) -> None:
    root = tmp_path / "films"
    _folder(root, FILM, ("DOE", "ROE", "POE"))
    write_manifest(root, ["DOE,a.png,,1", "ROE,other.png,,1", "DOE,b.tif,,1"])
    cohort = prepare(FolderSource(root), tmp_path / "cache")
    assert len(cohort.shapes) == 3
    assert cohort.notes == ["copies of films are there twice: 1"]


def test_nearly_the_same_is_another_film(tmp_path: Path) -> None:
    second = FILM.copy()
    second[0, 0] ^= 1
    assert prepare(_folder(tmp_path / "films", second, ("DOE", "ROE", "POE")), tmp_path / "cache").patients == 3


def test_flat_films_are_no_copies(tmp_path: Path) -> None:
    root = tmp_path / "films"
    root.mkdir()
    for name in "ab":
        Image.new("L", (8, 8)).save(root / f"{name}.png")
    write_manifest(root, ["DOE,a.png,,1", "ROE,b.png,,0"])
    assert "one gray value all over" in prepare(FolderSource(root), tmp_path / "cache").notes[0]
