"""A receiver's films for a package of classes: what is told, what could not be read, and what is no film."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import dcmread

from sldd.data.cohort import prepare
from sldd.data.whole_films import WholeFilms
from sldd.package import Package
from sldd.package.apply.classes import ClassFilm, Told, classes_csv, films_of_classes, tell
from sldd.package.apply.films import FilmFile
from sldd.package.apply.remarks import FilmLook
from sldd.package.cli.commands import main
from sldd.package.rebuild.rebuild import rebuild
from sldd.sources.classes import ClassesSettings, read_classes
from tests.conftest import write_dicom
from tests.sldd.package.conftest import SIDE, make

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "classes.safetensors"
    make(norm="none", classes=("band", "seg", "other"), exclusive=True, delta=None, claims=None).save(path)
    return path


def _film(path: Path, number: int = 0, side: int = SIDE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(60, 180, (side, side)).astype(np.uint8)).save(path)
    return path


def _applied(package: Path, films: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, Rows]:
    out = films.with_name("classes.csv")
    status = main(["apply", str(package), str(films), "--out", str(out)])
    said = capsys.readouterr()
    rows = list(csv.DictReader(out.read_text().splitlines())) if out.exists() else []
    return status, said.out + said.err, rows


def test_all_that_is_not_told_is_said_and_in_the_table(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "films"
    for number, name in enumerate(("seg/seg_1.png", "band/1.png", "band/masks/1.png", "band/1_mask.png")):
        _film(root / name, number)
    (root / "band" / "DOE.png").write_bytes(b"\x89PNG")
    report = dcmread(write_dicom(root / "report.dcm", np.zeros((SIDE, SIDE), np.uint16)))
    for tag in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        delattr(report, tag)
    report.save_as(root / "report.dcm")
    status, said, rows = _applied(package, root, capsys)
    assert status == 1, said
    words = "1 file in folders of masks, 1 mask by its name, 1 DICOM file without an image"
    assert f"left out, as no images: {words}" in said
    assert "NOT READ: 1 of 3 images" in said
    assert "DOE" not in said
    assert [(row["note"], bool(row["told"])) for row in rows[:-1] if row["note"]] == [
        ("the image could not be read", False)
    ]
    assert sum(bool(row["told"]) for row in rows) == 2
    assert (rows[-1]["subject"], rows[-1]["note"]) == ("(left out)", words)
    main(["verify", str(package), "--films", str(root)])
    assert f"left out, as no images: {words}" in capsys.readouterr().out


def test_a_table_with_a_film_that_cannot_be_read(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "films"
    _film(root / "0.png")
    (root / "1.png").write_bytes(b"\x89PNG")
    (root / "manifest.csv").write_text("image,class,subject\n0.png,seg,a\n1.png,band,b\n")
    status, said, rows = _applied(package, root, capsys)
    assert status == 1
    assert "label table line 3: the image cannot be read" in said
    assert [(row["class"], row["note"]) for row in rows if not row["told"]] == [("band", "the image could not be read")]


def test_films_are_scaled_first_as_their_maker_did(package: Path, tmp_path: Path) -> None:
    for number in range(4):
        _film(tmp_path / "films" / ("band", "seg")[number % 2] / f"{number}.png", number, side=100)
    received = films_of_classes(tmp_path / "films", ("band", "seg", "other"))
    found = []
    for kept in (16, 24):
        made = replace(Package.load(package), film_size=kept)
        cohort = prepare(read_classes(tmp_path / "films", ClassesSettings(), kept), tmp_path / "cache")
        network = rebuild(made)
        told = tell(network, made, received, batch=3, device=torch.device("cpu"))
        theirs = WholeFilms(cohort, SIDE, made.mean, made.deviation)
        with torch.no_grad():
            wanted = torch.cat([network(theirs.image(film)) for film in range(4)]).double().softmax(1)
        assert np.allclose(told.probabilities, wanted.numpy(), atol=1e-6)
        assert {(look.height, look.width) for look in told.looks} == {(kept, kept)}
        found.append(told.probabilities)
    assert not np.allclose(*found, atol=1e-3)


def test_a_table_whose_film_is_a_link_out_of_the_folder_is_refused(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, secret = tmp_path / "films", _film(tmp_path / "secret.png")
    _film(root / "0.png")
    (root / "1.png").symlink_to(secret)
    (root / "manifest.csv").write_text("image,class\n0.png,seg\n1.png,band\n")
    status, said, rows = _applied(package, root, capsys)
    assert (status, rows) == (2, [])
    assert "label table line 3: a symbolic link leads out of the table's folder; copy the image there" in said


def test_a_subjects_score_is_the_mean_of_the_largest_probabilities_of_the_films() -> None:
    looks = [FilmLook(subject, 8, 8, 64, (0.0,), (1.0,)) for subject in (0, 1, 0)]
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4]])
    told = Told(("a", "b", "c"), [], probabilities, [], [], looks, "")
    assert told.largest == pytest.approx([0.55, 0.5])


def test_rows_are_in_the_order_of_pseudonyms() -> None:
    film = FilmFile(Path("x.png"), "film 1 of 1 by name")
    films = [ClassFilm(film, subject, None) for subject in ("Doe", "Poe", "Roe")]
    told = Told(("a", "b"), films, np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), [], [], [], "")
    rows = csv.DictReader(classes_csv(told, ["P-c", "P-a", "P-b"]).decode().splitlines())
    assert [(row["subject"], row["told"]) for row in rows] == [("P-a", "b"), ("P-b", "a"), ("P-c", "a")]


def test_findings_have_a_probability_each_and_classes_share_one(package: Path, tmp_path: Path) -> None:
    made, cpu = Package.load(package), torch.device("cpu")
    received = films_of_classes(_film(tmp_path / "films" / "0.png").parent, made.classes)
    classes = tell(rebuild(made), made, received, batch=2, device=cpu).probabilities
    network, findings = rebuild(made), replace(made, exclusive=False)
    found = tell(network, findings, received, batch=2, device=cpu).probabilities
    pixels = np.asarray(Image.open(tmp_path / "films" / "0.png")).astype(np.float32)
    assert isinstance(made.mean, float)
    assert isinstance(made.deviation, float)
    with torch.no_grad():
        logits = network(torch.from_numpy((pixels - made.mean) / made.deviation)[None, None]).double()
    assert np.allclose(found, logits.sigmoid().numpy(), atol=1e-6)
    assert np.allclose(classes, logits.softmax(1).numpy(), atol=1e-6)
