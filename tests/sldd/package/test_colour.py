"""Packages in colour: what they say, that they verify, and what they refuse."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from analysis.records.packages import png_uri, read_distilled
from sldd.errors import InputError
from sldd.overlay import main as overlay
from sldd.package import Package
from sldd.package.cli.commands import main
from sldd.package.format.container import read
from sldd.package.rebuild.verify import verify
from tests.sldd.data.test_colour import write_cohort
from tests.sldd.package.conftest import make, reseal


@pytest.fixture(scope="module")
def colour() -> Package:
    return make(channels=3)


@pytest.fixture
def saved_colour(colour: Package, tmp_path: Path) -> Path:
    path = tmp_path / "package.safetensors"
    colour.save(path)
    return path


def test_the_format_and_the_header_say_how_many_channels(saved_colour: Path, colour: Package, package: Package) -> None:
    metadata = read(saved_colour).metadata
    assert metadata["format"] == "sldd-package/6"
    assert json.loads(metadata["facts"])["channels"] == 3
    found = Package.load(saved_colour)
    assert found.images.shape == (2, 3, 3, 32, 32)
    assert torch.equal(found.images, colour.images)
    assert (found.mean, found.deviation) == ((40.0, 120.0, 200.0), (10.0, 20.0, 30.0))
    assert "channels" not in json.loads(package.to_text())


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"mean": 3.0}, "its mean and deviation are not one for each of 3 channels"),
        ({"channels": 2}, "it has 2 channels; 1 or 3 are known"),
        ({"deviation": [1.0, 0.0, 1.0]}, "its deviation"),
        ({"mean": [1.0, 2.0]}, "its mean"),
        ({"channels": 1, "mean": 3.0, "deviation": 2.0}, "its facts are not in canonical form"),
    ],
)
def test_other_headers_are_refused(saved_colour: Path, tmp_path: Path, facts: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Package.load(reseal(saved_colour, tmp_path / "other.safetensors", **facts))


def test_a_colour_header_under_the_gray_format_is_refused(package: Package) -> None:
    with pytest.raises(InputError, match="not one for each of 3 channels"):
        replace(package, channels=3).to_text()


@pytest.mark.parametrize("images", ["float16", "uint8"])
def test_it_verifies_also_when_converted(saved_colour: Path, tmp_path: Path, images: str) -> None:
    assert verify(saved_colour).passed
    out = tmp_path / "small.safetensors"
    assert main(["convert", str(saved_colour), "--images", images, "--weights", "--out", str(out)]) == 0
    assert verify(out).passed


def test_info_and_pictures(saved_colour: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(saved_colour)]) == 0
    shown = capsys.readouterr().out
    assert "sldd-package/6" in shown
    assert "32 x 32 input in colour (RGB)" in shown
    assert "less 40 / 120 / 200, by 10 / 20 / 30" in shown
    assert main(["export-png", str(saved_colour), str(tmp_path / "png")]) == 0
    with Image.open(tmp_path / "png" / "step-1-image-2.png") as picture, Image.open(tmp_path / "png/sheet.png") as all_:
        assert (picture.mode, all_.mode) == ("RGB", "RGB")
        red, green, blue = np.asarray(picture).mean((0, 1))
    assert red < green < blue, "in the films' own values, not in deviations"


def test_readers_of_studies_see_the_colours(saved_colour: Path, colour: Package) -> None:
    distilled = read_distilled(saved_colour.parent)
    assert distilled is not None
    assert distilled.images.shape == (2, 3, 32, 32, 3)
    expected = colour.images[1, 2].permute(1, 2, 0).double().numpy() * (10, 20, 30) + (40, 120, 200)
    np.testing.assert_allclose(distilled.images[1, 2], expected)
    assert png_uri(distilled.images[1, 2]).startswith("data:image/png")


def _apply(package: Path, films: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[dict[str, str]]]:
    out = films.parent / "scores.csv"
    status = main(["apply", str(package), str(films), "--out", str(out)])
    shown = capsys.readouterr()
    if not out.exists():
        return status, shown.err, []
    with out.open() as file:
        return status, shown.out, list(csv.DictReader(file))


def test_it_scores_films_in_colour(saved_colour: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown, rows = _apply(saved_colour, write_cohort(tmp_path / "films"), capsys)
    assert status == 0, shown
    assert len(rows) == 6
    assert "far from those" not in shown


def test_gray_films_for_a_colour_package(
    saved_colour: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown, rows = _apply(saved_colour, write_cohort(tmp_path / "some", gray=(1,)), capsys)
    assert status == 1
    assert "manifest.csv line 3: the image is gray, and the package is for images in colour; give it such" in shown
    assert sum(not row["score"] for row in rows) == 1
    (tmp_path / "scores.csv").unlink()
    status, shown, _ = _apply(saved_colour, write_cohort(tmp_path / "all", gray=(0, 1, 2, 3, 4, 5)), capsys)
    assert status == 2
    assert shown.count("\n") == 1


def test_coloured_films_for_a_gray_package(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown, _ = _apply(saved, write_cohort(tmp_path / "films"), capsys)
    assert status == 2
    assert "the image is in colour, and the package is for gray ones" in shown


def test_votes_are_drawn_over_a_film_in_colour(saved_colour: Path, tmp_path: Path) -> None:
    films = write_cohort(tmp_path / "films", gray=(1,))
    out = tmp_path / "votes.png"
    command = [str(saved_colour), str(films / "images/0.png"), "--mask", str(films / "masks/0.png"), "--out", str(out)]
    assert overlay(command) == 0
    with Image.open(out) as picture:
        red, green, blue = np.asarray(picture)[200:400, 100:600].mean((0, 1))
    assert red < green < blue, "the film itself, in its colours"
    command[1] = str(films / "images/1.png")
    assert overlay(command) == 2
