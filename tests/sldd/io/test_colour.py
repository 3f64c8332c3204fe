"""Films in colour: three channels where they are asked for, and a line where a file has other ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.errors import InputError
from sldd.io.film import ChannelsError
from sldd.io.radiograph import read_film
from tests.sldd.io.test_dicom import write_dicom

RGB = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def test_colour_is_read_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([RGB, np.full((24, 40), 255, np.uint8)])).save(tmp_path / "opaque.png")
    Image.fromarray(RGB).save(tmp_path / "a.tif")
    for name in ("a.png", "opaque.png", "a.tif"):
        film = read_film(tmp_path / name, 3)
        np.testing.assert_array_equal(film.pixels, RGB)
        assert not film.coloured
    gray = read_film(tmp_path / "a.png")
    assert gray.pixels.shape == (24, 40)
    assert gray.coloured


def test_a_turned_film_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    film = read_film(tmp_path / "a.png", 3)
    np.testing.assert_array_equal(film.pixels, np.rot90(RGB, -1))
    assert film.changed == ("orientation",)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "1"])
def test_a_gray_film_is_refused_where_colour_is_read(tmp_path: Path, mode: str) -> None:
    values = RGB[..., 0].astype(np.uint16) * 257 if mode == "I;16" else RGB[..., 0]
    picture = Image.fromarray(values)
    (picture if mode == "I;16" else picture.convert(mode)).save(tmp_path / "jane.png")
    with pytest.raises(ChannelsError) as caught:
        read_film(tmp_path / "jane.png", 3)
    assert str(caught.value) == "the image is gray"


def test_a_dicom_film_is_gray(tmp_path: Path) -> None:
    with pytest.raises(ChannelsError, match="read as gray only"):
        read_film(write_dicom(tmp_path / "a.dcm", RGB[..., 0]), 3)


def _palette(path: Path) -> None:
    Image.fromarray(RGB).quantize(16).save(path)


def _alpha(path: Path) -> None:
    alpha = np.full((24, 40), 255, np.uint8)
    alpha[3, 4] = 254
    Image.fromarray(np.dstack([RGB, alpha])).save(path)


def _transparent(path: Path) -> None:
    Image.fromarray(RGB).save(path, transparency=tuple(RGB[0, 0].tolist()))


def _cmyk(path: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(path, "TIFF")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_palette, "the image has a palette; save it as RGB of 8 bit"),
        (_cmyk, "the image is CMYK; save it as RGB of 8 bit"),
        (_alpha, "the image is transparent somewhere, so that viewers differ on what it shows"),
        (_transparent, "the image is transparent somewhere"),
    ],
)
def test_other_colours_are_refused(tmp_path: Path, write, words: str) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / "jane.png")
    with pytest.raises(InputError) as caught:
        read_film(tmp_path / "jane.png", 3)
    assert not isinstance(caught.value, ChannelsError)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
