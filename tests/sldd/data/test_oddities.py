"""Outlier films: named by their lines; a cohort of one kind has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.data.cohort import prepare
from sldd.data.oddities import places
from sldd.sources.folder import FolderSource
from tests.conftest import write_manifest


def _notes(folder: Path, films: list[np.ndarray]) -> list[str]:
    folder.mkdir()
    for number, film in enumerate(films):
        Image.fromarray(film).save(folder / f"{number}.png")
    write_manifest(folder, [f"DOE-{n:02d},{n}.png,,{n % 2}" for n in range(len(films))])
    return prepare(FolderSource(folder), folder.parent / f"cache-{folder.name}").notes


def _chest(number: int, deep: bool = True) -> np.ndarray:
    """A bright body with two dark lungs, as large and as bright as chance has it."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    body = np.exp(-((columns / 0.9) ** 4) - rows**2 / 4)
    for side in (-0.4, 0.4):
        body -= 0.6 * np.exp(-(((columns - side - random.normal(0, 0.02)) / 0.22) ** 2) - (rows / 0.5) ** 2)
    shown = (body.clip(0, 1) * random.uniform(0.8, 1) + random.normal(0, 0.01, body.shape)).clip(0, 1)
    return (shown * 65535).astype(np.uint16) if deep else (shown * 255).astype(np.uint8)


@pytest.mark.parametrize("deep", [True, False])
def test_a_cohort_of_one_kind(tmp_path: Path, deep: bool) -> None:
    assert _notes(tmp_path / "a", [_chest(number, deep) for number in range(12)]) == []


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_a_file_of_sixteen(tmp_path: Path, bits: int) -> None:
    films = [_chest(number) for number in range(12)]
    films[3] = films[3] >> (16 - bits)
    (note,) = _notes(tmp_path / "a", films)
    assert note.startswith("manifest.csv line 5: values of ")
    assert "another bit depth?" in note


def test_more_bits_than_the_others(tmp_path: Path) -> None:
    films = [_chest(number) >> 4 for number in range(12)]
    films[3] = _chest(3)
    (note,) = _notes(tmp_path / "a", films)
    assert note.startswith("manifest.csv line 5: values of ")
    assert "(wider); another bit depth?" in note


def test_half_of_the_films_with_fewer_bits(tmp_path: Path) -> None:
    films = [_chest(number) >> (4 * (number % 2)) for number in range(12)]
    (note,) = _notes(tmp_path / "a", films)
    assert note.startswith("manifest.csv lines 3, 5, 7 and 3 more: values of ")


def test_values_that_are_offset(tmp_path: Path) -> None:
    films = [_chest(number) // 4 for number in range(12)]
    films[0] = films[0] + 40000
    (note,) = _notes(tmp_path / "a", films)
    assert note.startswith("manifest.csv line 2: ")
    assert "elsewhere" in note


@pytest.mark.parametrize("many", [1, 5])
def test_inverted_polarity(tmp_path: Path, many: int) -> None:
    films = [_chest(number) for number in range(12)]
    for number in range(many):
        films[number] = 65535 - films[number]
    (note,) = _notes(tmp_path / "a", films)
    assert note.startswith("manifest.csv line 2: " if many == 1 else "manifest.csv lines 2, 3, 4 and 2 more: ")
    assert "inverted polarity?" in note


def test_flat_films_and_masks_among_films(tmp_path: Path) -> None:
    films = [_chest(number, deep=False) for number in range(12)]
    films[1], films[2] = np.zeros_like(films[1]), np.full_like(films[1], 9)
    films[5] = np.where(films[5] > 100, 255, 0).astype(np.uint8)
    one, two = _notes(tmp_path / "a", films)
    assert one == "manifest.csv lines 3, 4: one gray value all over"
    assert two == "manifest.csv line 7: two gray values only, as masks have"


def test_saturated_films(tmp_path: Path) -> None:
    films = [_chest(number, deep=False) for number in range(12)]
    films[4] = np.where(np.arange(64) < 58, 255, films[4]).astype(np.uint8)
    notes = _notes(tmp_path / "a", films)
    assert any(note.startswith("manifest.csv line 6: most of it is one gray value") for note in notes)


def test_what_is_usual_is_not_odd(tmp_path: Path) -> None:
    narrow = [np.where(np.arange(64) < 56, 0, _chest(number, deep=False)).astype(np.uint8) for number in range(12)]
    assert not any("most of it" in note for note in _notes(tmp_path / "narrow", narrow))
    random = np.random.default_rng(0)
    unlike = [np.kron(random.integers(0, 256, (8, 8)), np.ones((8, 8), int)).astype(np.uint8) for _ in range(7)]
    few = [_chest(number, deep=False) for number in range(5)]
    few[2] = 255 - few[2]
    notes = _notes(tmp_path / "unlike", few + unlike)
    assert not any("inverted" in note for note in notes), "half of all films have to be alike for that"


def test_few_films_are_not_compared(tmp_path: Path) -> None:
    assert _notes(tmp_path / "a", [_chest(0), _chest(1) >> 4]) == []


def test_places() -> None:
    lines = [f"manifest.csv line {number}" for number in range(2, 9)]
    assert places(lines[:1]) == "manifest.csv line 2"
    assert places(lines[:3]) == "manifest.csv lines 2, 3, 4"
    assert places(lines) == "manifest.csv lines 2, 3, 4 and 4 more"
    assert places(["film 1 of 4 by name", "film 3 of 4 by name"]) == "films 1, 3 of 4 by name"
    assert places(["test image 1", "train image 2"]) == "test image 1, train image 2"
