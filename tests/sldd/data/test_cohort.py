"""Cohorts: what is read, how it is split, and what a bad manifest is told."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.data.cohort import Cohort, open_decoded, prepare
from sldd.data.settings import DataSettings, open_source
from sldd.errors import InputError
from sldd.pipeline.task_data import task_of
from sldd.sources.folder import FolderSource
from tests.conftest import write_dicom, write_film, write_manifest
from tests.sldd.io.test_raster import tiff


def _prepare(folder: Path) -> Cohort:
    return prepare(FolderSource(folder), folder.parent / "cache")


def test_pixels_and_masks_come_back_as_written(cohort_folder: Path) -> None:
    cohort = _prepare(cohort_folder)
    for patient in range(cohort.patients):
        written = np.asarray(Image.open(cohort_folder / "images" / f"{patient}.png"))
        np.testing.assert_array_equal(cohort.pixels(patient), written)
        mask = cohort.mask(patient)
        assert mask is not None
        assert mask.sum() == 40 * 40
    with pytest.raises(ValueError, match="read-only"):
        cohort.pixels(0)[0, 0] = 1


def test_cache_names_no_patient(cohort_folder: Path) -> None:
    cohort = _prepare(cohort_folder)
    for path in cohort.folder.iterdir():
        assert b"patient-" not in path.read_bytes()
    for folder in (cohort.folder, cohort.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "films are the user's alone"
    assert cohort == open_decoded(cohort.folder)


def test_fingerprint_follows_the_data(cohort_folder: Path) -> None:
    first = FolderSource(cohort_folder).fingerprint()
    assert first == FolderSource(cohort_folder).fingerprint()
    write_film(cohort_folder, "3.png", np.full((64, 64), 7, np.uint8), np.ones((64, 64), bool))
    assert FolderSource(cohort_folder).fingerprint() != first


def test_intensity_is_that_of_the_named_patients(cohort_folder: Path) -> None:
    cohort = _prepare(cohort_folder)
    pixels = np.concatenate([cohort.pixels(patient).ravel() for patient in (1, 4)]).astype(float)
    assert cohort.intensity([1, 4]) == pytest.approx((pixels.mean(), pixels.std()))


def test_intensity_is_that_of_all_pixels_of_all_films_of_a_patient(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    random, sizes = np.random.default_rng(3), ((20, 30), (40, 50), (16, 16))
    films = [random.integers(60 * n, 60 * n + 90, size).astype(np.uint8) for n, size in enumerate(sizes)]
    for number, film in enumerate(films):
        Image.fromarray(film).save(tmp_path / "films" / f"{number}.png")
    write_manifest(tmp_path / "films", ["a,0.png,,1", "b,1.png,,0", "a,2.png,,1"])
    values = np.concatenate([films[0].ravel(), films[2].ravel()]).astype(float)
    assert _prepare(tmp_path / "films").intensity([0]) == pytest.approx((values.mean(), values.std()))


def test_a_cohort_that_is_read_as_ever_keeps_its_fingerprint(cohort_folder: Path) -> None:
    """By it, studies of earlier versions know that they may go on."""
    files = [
        [n, n % 2, None]
        + [hashlib.sha256((cohort_folder / kind / f"{n}.png").read_bytes()).hexdigest() for kind in ("images", "masks")]
        for n in range(12)
    ]
    cohort = _prepare(cohort_folder)
    assert cohort.fingerprint == cohort.files == hashlib.sha256(json.dumps([1, files]).encode()).hexdigest()
    assert cohort.changed == {}


@pytest.mark.parametrize(
    ("classes", "finding", "task"),
    [
        (["a", "b"], [0.0, 1.0], "classes"),
        (["a", "b"], [None, 1.0], "classes"),
        (["a", "b"], [1.0, 1.0], "multilabel"),
        (["a", "b"], [0.0, 0.0], "multilabel"),
        (["a"], [1.0], "multilabel"),
        ([], [], "patches"),
    ],
)
def test_films_of_one_class_each_are_called_images_and_told_apart(
    cohort_folder: Path, classes: list[str], finding: list[float | None], task: str
) -> None:
    other: list[float | None] = [1.0, 0.0]
    findings = [*[other[: len(classes)]] * 11, finding]
    cohort = replace(_prepare(cohort_folder), classes=classes, findings=findings)
    assert (cohort.one_class_each, task_of(cohort)) == (task == "classes", task)
    assert cohort.words == (("subject", "image") if task == "classes" else ("patient", "film"))


@pytest.mark.parametrize(("rule", "films"), [("mask", 2), ("orientation", 1), ("zero is white", 12), ("padding", 12)])
def test_a_cohort_that_is_read_otherwise_has_another_fingerprint(cohort_folder: Path, rule: str, films: int) -> None:
    images, masks = cohort_folder / "images", cohort_folder / "masks"
    first = np.asarray(Image.open(images / "0.png"))
    if rule == "mask":
        for name in ("0.png", "1.png"):
            labels = np.asarray(Image.open(masks / name)) // 255
            labels[:, 30:] *= 2
            Image.fromarray(labels).save(masks / name)
    elif rule == "orientation":
        exif = Image.Exif()
        exif[274] = 3
        Image.fromarray(first).save(images / "0.png", exif=exif)
    else:
        for number in range(12):
            deep = np.asarray(Image.open(images / f"{number}.png")).astype(np.uint16) * 16
            if rule == "padding":
                write_dicom(images / f"{number}.png", deep, PixelPaddingValue=int(deep[0, 0]))
            else:
                tiff(images / f"{number}.png", deep, photometric=0)
    cohort = _prepare(cohort_folder)
    assert cohort.changed == {rule: films}
    assert cohort.files == FolderSource(cohort_folder).fingerprint() != cohort.fingerprint
    assert _prepare(cohort_folder) == cohort


def test_padding_does_not_enter_the_intensity(tmp_path: Path) -> None:
    stored = np.random.default_rng(2).integers(1000, 3000, (40, 40)).astype(np.uint16)
    stored[:, 25:] = 4095
    write_dicom(tmp_path / "a.dcm", stored, PixelPaddingValue=4095)
    write_manifest(tmp_path, ["x,a.dcm,,1"])
    cohort = _prepare(tmp_path)
    film = cohort.pixels(0)
    assert not film[:, 25:].any()
    assert cohort.intensity([0]) == pytest.approx((film[:, :25].mean(), film[:, :25].std()))
    assert cohort.ranges == [[int(film[:, :25].min()), int(film[:, :25].max())]]


def test_sixteen_bit_tiff(tmp_path: Path) -> None:
    values = (np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(tmp_path / "m.png")
    write_manifest(tmp_path, ["x,a.tiff,m.png,1"])
    np.testing.assert_array_equal(_prepare(tmp_path).pixels(0), values)


@pytest.mark.parametrize(
    ("rows", "header", "says"),
    [
        (["a,images/0.png,masks/0.png,2"], None, "manifest.csv line 2: the label is neither 0 (negative) nor 1"),
        (["a,images/none.png,masks/0.png,1"], None, "manifest.csv line 2: the image does not exist"),
        (["a,images/0.png,masks/none.png,1"], None, "manifest.csv line 2: the mask does not exist"),
        (["a,images/0.png,masks/wide.png,1"], None, "line 2: the mask is 80 x 64 and the image 64 x 64"),
        (["a,broken.png,masks/0.png,1"], None, "line 2: the image cannot be read"),
        (["a,images/0.png,masks/0.png,1", "b,deep.png,masks/0.png,0"], None, "line 3: 8-bit and deeper"),
        (["a,images/0.png,masks/0.png,1", ",images/1.png,masks/1.png,0"], None, "line 3: patient_id is empty"),
        (["a,images/0.png,masks/0.png,1", "a,images/1.png,masks/1.png,0"], None, "line 3: the patient of line 2 has"),
        (["a,images/0.png,1"], "patient_id,picture,label", "no column image"),
        ([], None, "no rows"),
        (["Doe, Jane,images/0.png,masks/0.png,1"], None, "line 2: more cells than columns; quote cells"),
        (["a,images/0.png,masks/black.png,1"], None, "line 2: the mask is all black"),
        (
            ["a,images/0.png,masks/0.png,1,train", "a,images/1.png,masks/1.png,1,test"],
            "patient_id,image,mask,label,split",
            "line 3: the patient of line 2 is in two splits (train and test)",
        ),
        (
            ["a,images/0.png,masks/0.png,1,exam"],
            "patient_id,image,mask,label,split",
            "line 2: the split is not one of train, validation, test",
        ),
        (
            ["a,images/0.png,masks/0.png,1,train", "b,images/1.png,masks/1.png,0,"],
            "patient_id,image,mask,label,split",
            "line 3: the split is empty",
        ),
    ],
)
def test_bad_manifest_gets_one_line(cohort_folder: Path, rows: list[str], header: str | None, says: str) -> None:
    write_film(cohort_folder, "wide.png", np.zeros((64, 80), np.uint8), np.ones((64, 80), bool))
    write_film(cohort_folder, "black.png", np.zeros((64, 64), np.uint8), np.zeros((64, 64), bool))
    (cohort_folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(cohort_folder / "deep.png")
    write_manifest(cohort_folder, rows, header or "patient_id,image,mask,label")
    with pytest.raises(InputError) as caught:
        _prepare(cohort_folder)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert ".png" not in message, "file names can name patients"
    assert "Jane" not in message
    cache = cohort_folder.parent / "cache"
    assert not cache.exists() or not list(cache.iterdir()), "nothing half-written"


def test_missing_folder_is_named() -> None:
    with pytest.raises(InputError, match=r"data\.root: there is no nowhere/at/all; name the folder"):
        open_source(DataSettings(source="folder", root="nowhere/at/all"))


def test_index_is_plain_json(cohort_folder: Path) -> None:
    index = json.loads((_prepare(cohort_folder).folder / "index.json").read_text())
    assert index["labels"] == [0, 1] * 6


def test_films_are_called_as_their_table_calls_them_now(cohort_folder: Path) -> None:
    write_film(cohort_folder, "3.png", np.full((64, 64), 7, np.uint8), np.ones((64, 64), bool))
    before = _prepare(cohort_folder)
    assert any(note.startswith("manifest.csv line 5: ") for note in before.notes)
    header, *lines = (cohort_folder / "manifest.csv").read_text().splitlines()
    (cohort_folder / "manifest.csv").write_text("\n".join([header, "", "", *lines]))
    after = _prepare(cohort_folder)
    assert after.folder == before.folder
    assert [note.replace("line 7", "line 5") for note in after.notes] == before.notes != after.notes


@pytest.mark.parametrize("name", ["pixels.bin", "masks.bin", "index.json"])
def test_a_damaged_cache_gets_one_line(cohort_folder: Path, name: str) -> None:
    folder = _prepare(cohort_folder).folder
    (folder / name).write_bytes(b"")
    with pytest.raises(
        InputError, match=rf"data.cache: {name} in .* is not what was written there; remove that folder"
    ):
        _prepare(cohort_folder)
