"""A receiver's folder as archives and systems leave it: all films are scored, and all else is counted and said."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import dcmread

from sldd.package.cli.commands import main
from sldd.sources.phantom import PhantomSettings, phantom_patient
from tests.conftest import write_dicom, write_manifest
from tests.sldd.package.conftest import make


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "160")
    yield
    torch.set_num_threads(1)


def _film(number: int) -> np.ndarray:
    return phantom_patient(PhantomSettings(patients=8, size=96, seed=1), number)[0]


def _dicom(path: Path, number: int) -> Path:
    return write_dicom(path, _film(number).astype(np.uint16) * 16)


def _applied(
    package: Path, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, list[dict[str, str]]]:
    status = main(["apply", str(package), str(folder), "--out", str(out)])
    said = capsys.readouterr()
    if not out.exists():
        return status, said.out + said.err, []
    with out.open(newline="") as file:
        return status, said.out + said.err, list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    return tmp_path / "films"


def test_dicom_files_without_an_ending_are_scored(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _dicom(folder / "IM000000.dcm", 0)
    for number in range(1, 6):
        _dicom(folder / f"IM00000{number}", number)
    status, said, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    assert status == 0, said
    assert len(rows) == 6
    assert all(row["score"] or row["undecided"] == "1" for row in rows)
    assert "NOT READ" not in said
    assert "16 bit, scaled to the package's 8" in said


def test_dicom_and_jpeg_together_are_scored(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        _dicom(folder / f"{number}.dcm", number)
        Image.fromarray(_film(number + 3)).save(folder / f"{number + 3}.jpg", quality=100)
    status, said, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    assert (status, len(rows)) == (0, 6), said


def test_a_dicom_film_and_its_eight_bit_copy_have_the_same_votes(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dicom(folder / "a.dcm", _film(0), BitsStored=8, HighBit=7)
    Image.fromarray(_film(0)).save(folder / "b.png")
    _, _, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    one, other = rows
    assert [one[f"votes_{name}"] for name in "INP"] == [other[f"votes_{name}"] for name in "INP"]


def test_hidden_files_masks_and_other_files_are_no_patients_and_are_counted(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "masks").mkdir()
    for name in ("0.png", "1.png", "._0.png", "masks/0.png", "masks/1.png"):
        Image.fromarray(_film(0)).save(folder / name)
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "read me.txt").write_text("Jane Doe")
    status, said, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    assert status == 0
    assert [row["patient"] == "(left out)" for row in rows] == [False, False, True]
    words = "2 hidden files, 2 files in folders of masks, 1 other file"
    assert rows[-1]["note"] == words
    assert f"left out, as no radiographs: {words}" in said
    assert "Jane" not in said


def test_what_cannot_be_read_is_said_and_the_others_are_scored(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        Image.fromarray(_film(number)).save(folder / f"{number}.png")
    (folder / "DOE-JANE.png").write_bytes((folder / "0.png").read_bytes()[:200])
    status, said, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    assert status == 1
    assert "NOT READ: 1 of 4 radiographs" in said
    assert "film 4 of 4 by name: the image cannot be read" in said
    assert "DOE" not in said
    assert "3 patients: " in said
    unread = [row for row in rows if row["note"]]
    assert len(rows) == 4
    assert len(unread) == 1
    assert unread[0]["note"] == "1 of 1 radiographs could not be read"
    assert [unread[0][name] for name in ("radiographs", "votes_P", "score", "positive", "undecided")] == [
        "0",
        *[""] * 4,
    ]


def test_a_patient_with_one_film_of_two(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        Image.fromarray(_film(number)).save(folder / f"{number}.png")
    (folder / "1.png").write_bytes(b"\x89PNG")
    write_manifest(folder, ["a,0.png,,1", "a,1.png,,1", "b,2.png,,0"])
    status, said, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    assert status == 1
    assert "manifest.csv line 3: the image cannot be read" in said
    (row,) = [row for row in rows if row["note"]]
    assert (row["radiographs"], row["note"]) == ("1", "1 of 2 radiographs could not be read")
    assert row["votes_P"] != ""


def test_unread_patients_are_in_no_measure(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        Image.fromarray(_film(number)).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"\x89PNG")
    write_manifest(folder, [f"p{n},{n}.png,,{n % 2}" for n in range(4)])
    _, said, _ = _applied(saved, folder, tmp_path / "s.csv", capsys)
    (here,) = [line for line in said.splitlines() if line.startswith("here")]
    assert here.split()[-1] == "3"


def test_a_file_whose_name_is_no_utf_8_is_scored_and_named(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(_film(0)).save(folder / "0.png")
    (folder / os.fsdecode(b"\xe9.png")).write_bytes((folder / "0.png").read_bytes())
    names = tmp_path / "names.csv"
    assert main(["apply", str(saved), str(folder), "--out", str(tmp_path / "s.csv"), "--names", str(names)]) == 0
    assert sorted(line.split(",")[1] for line in names.read_text().splitlines()[1:]) == ["0.png", r"\udce9.png"]


def test_where_nothing_can_be_read_nothing_is_written(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        (folder / f"{name}.png").write_bytes(b"\x89PNG")
    status, said, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    assert (status, rows) == (2, [])
    assert "film 1 of 2 by name: the image cannot be read" in said
    assert "(and 1 more)" in said


def test_reports_among_the_films_are_left_out(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _dicom(folder / "IM1", 0)
    _report(folder / "SR1")
    status, said, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    assert status == 0
    assert [row["patient"] == "(left out)" for row in rows] == [False, True]
    assert rows[-1]["note"] == "1 DICOM file without an image"
    assert "1 patients" in said


def test_a_report_in_a_patients_row_is_not_read(
    saved: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _dicom(folder / "IM1", 0)
    _report(folder / "SR1")
    write_manifest(folder, ["a,IM1,,1", "b,SR1,,0"])
    findings = tmp_path / "findings.safetensors"
    make(norm="none", classes=("a", "b", "c"), delta=None, claims=None).save(findings)
    status, said, rows = _applied(saved, folder, tmp_path / "s.csv", capsys)
    assert status == 1
    assert "manifest.csv line 3: " in said
    assert {row["label"]: row["radiographs"] for row in rows} == {"1": "1", "0": "0"}
    assert "1 of 1 radiographs could not be read" in {row["note"] for row in rows}
    main(["verify", str(saved), "--films", str(folder)])
    assert "NOT READ: 1 of 2 radiographs" in capsys.readouterr().out
    main(["verify", str(findings), "--films", str(folder)])
    assert "NOT READ: 1 of 2 images" in capsys.readouterr().out


def _report(path: Path) -> None:
    """A DICOM file without an image."""
    report = dcmread(_dicom(path, 0))
    for tag in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        delattr(report, tag)
    report.save_as(path)


@pytest.mark.parametrize("all_of_them", [False, True])
def test_twelve_bits_in_a_file_of_sixteen_are_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], all_of_them: bool
) -> None:
    package = tmp_path / "deep.safetensors"
    make(mean=120.0 * 257, deviation=45.0 * 257, depth=16).save(package)
    for number in range(6):
        deep = _film(number).astype(np.uint16) * 257
        Image.fromarray(deep >> 4 if all_of_them or number == 2 else deep).save(folder / f"{number}.png")
    status, said, rows = _applied(package, folder, tmp_path / "s.csv", capsys)
    assert status == 0
    words = "gray values far from those that the package was made for"
    assert sum(words in row["note"] for row in rows) == (6 if all_of_them else 1)
    where = "films 1, 2, 3 and 3 more of 6" if all_of_them else "film 3 of 6"
    assert f"odd: {where} by name: {words}; another bit depth, or another export?" in said


def test_films_that_fit_have_nothing_said_of_them(
    saved: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said, rows = _applied(saved, films, tmp_path / "s.csv", capsys)
    assert status == 0
    assert "odd:" not in said
    assert {row["note"] for row in rows} == {""}
