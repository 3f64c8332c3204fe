"""Cohorts in colour: three channels from the file to the network's input, each standardised by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sldd.data.cohort import INDEX, Cohort, open_decoded, prepare
from sldd.data.concat import join
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.settings import DataSettings, open_source
from sldd.data.summary import summary
from sldd.data.whole_films import WholeFilms
from sldd.errors import InputError
from sldd.ops.pixels import at_least
from sldd.rng import stream
from sldd.sources.folder import FolderSource
from tests.conftest import write_manifest

SHAPE = (40, 48, 3)
MASK = np.zeros(SHAPE[:2], bool)
MASK[4:36, 4:30] = True


def film(number: int) -> np.ndarray:
    """Red, green and blue about 40, 120 and 200."""
    random = np.random.default_rng(number)
    return (np.array([40, 120, 200]) + random.integers(-30, 30, SHAPE) + number).astype(np.uint8)


def write_cohort(folder: Path, *, gray: tuple[int, ...] = (), count: int = 6) -> Path:
    """A manifest of colour films with masks, every other patient positive; some films are ``gray``."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = []
    for number in range(count):
        pixels = film(number)
        Image.fromarray(pixels[..., 0] if number in gray else pixels).save(folder / f"images/{number}.png")
        Image.fromarray(MASK.astype(np.uint8) * 255).save(folder / f"masks/{number}.png")
        rows.append(f"P{number},images/{number}.png,masks/{number}.png,{number % 2}")
    write_manifest(folder, rows)
    return folder


def _prepare(folder: Path, channels: str = "rgb") -> Cohort:
    settings = DataSettings(source="folder", root=str(folder), channels=channels)  # type: ignore[arg-type]
    return prepare(open_source(settings), folder.parent / "cache")


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return _prepare(write_cohort(tmp_path / "films"))


def test_the_index_knows_three_channels_and_the_pixels_have_them(cohort: Cohort) -> None:
    assert cohort.channels == 3
    assert cohort.shapes == [[40, 48]] * 6
    for number in range(6):
        np.testing.assert_array_equal(cohort.pixels(number), film(number))
        mask = cohort.mask(number)
        assert mask is not None
        np.testing.assert_array_equal(mask, MASK)
    lines = list(summary(cohort))
    assert any("8 bit in colour (RGB)" in line and " / " in line for line in lines)


def test_an_index_of_before_is_gray_and_a_gray_one_is_as_before(tmp_path: Path) -> None:
    gray = _prepare(write_cohort(tmp_path / "films"), "gray")
    assert "channels" not in json.loads((gray.folder / INDEX).read_text())
    assert open_decoded(gray.folder).channels == 1
    assert gray.pixels(0).shape == (40, 48)
    assert isinstance(gray.intensity([0])[0], float)


def test_each_channel_has_an_intensity_of_its_own(cohort: Cohort) -> None:
    values = np.concatenate([film(number).reshape(-1, 3) for number in (1, 4)]).astype(float)
    mean, std = cohort.intensity([1, 4])
    assert mean == pytest.approx(tuple(values.mean(0)))
    assert std == pytest.approx(tuple(values.std(0)))
    assert at_least((0.0, 2.0, 3.0)) == (1e-6, 2.0, 3.0)


def test_gray_and_colour_are_two_cohorts(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "films")
    gray, colour = FolderSource(folder), FolderSource(folder, 3)
    assert gray.fingerprint() != colour.fingerprint()
    (note,) = _prepare(folder, "gray").notes
    assert note.endswith("it is in colour, and read as its brightness; data.channels=rgb reads its colours")


def test_patches_and_scans_are_standardised_by_channel(cohort: Cohort) -> None:
    mean, std = (40.0, 120.0, 200.0), (10.0, 20.0, 30.0)
    patches = Patches(cohort, PatchSettings(16, 8, None, 16), mean, std)
    (crops,) = [crops for crops, _ in patches.scan(2, 64, torch.device("cpu"))]
    assert crops.shape == (20, 3, 16, 16)
    expected = (film(2)[8:24, 16:32].astype(np.float32) - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(crops[7].permute(1, 2, 0).numpy(), expected, atol=1e-5)
    batches = BalancedBatches(Patches(cohort, PatchSettings(12, 4, None, 16), mean, std), range(6))
    images, _ = batches.draw(stream(0, "batch"), 9)
    assert images.shape == (9, 3, 16, 16)


def test_whole_films_are_standardised_by_channel(cohort: Cohort) -> None:
    image = WholeFilms(cohort, 20, *cohort.intensity([3])).image(3)
    assert image.shape == (1, 3, 20, 20)
    assert image.mean((0, 2, 3)).numpy() == pytest.approx([0, 0, 0], abs=0.05)


def test_a_gray_film_among_coloured_ones_is_told_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _prepare(write_cohort(tmp_path / "films", gray=(3,)))
    assert str(caught.value) == (
        "manifest.csv line 5: the image is gray; save it in colour (RGB), or set data.channels=gray"
    )


def test_a_source_whose_films_differ_in_channels_is_refused(tmp_path: Path) -> None:
    source = FolderSource(write_cohort(tmp_path / "films", gray=(3,)))
    source.read = lambda film: (np.asarray(Image.open(tmp_path / f"films/images/{film}.png")), None)  # type: ignore[method-assign]
    with pytest.raises(InputError, match="line 5: an image of 1 channels, and those before have 3"):
        prepare(source, tmp_path / "cache")


def test_copies_are_found(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "films")
    (folder / "images/4.png").write_bytes((folder / "images/2.png").read_bytes())
    with pytest.raises(InputError, match=r"line 6: the same pixels as manifest\.csv line 4, but another patient"):
        _prepare(folder)


def test_phantoms_are_gray() -> None:
    with pytest.raises(InputError, match=r"data\.channels: phantoms are gray"):
        open_source(DataSettings(channels="rgb"))


def test_gray_and_coloured_collections_are_not_joined(cohort: Cohort, tmp_path: Path) -> None:
    gray = _prepare(tmp_path / "films", "gray")
    for each in (cohort, gray):
        object.__setattr__(each, "classes", ["a"])
    with pytest.raises(InputError, match="cannot be trained on together"):
        join([cohort, gray])
