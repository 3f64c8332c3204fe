"""Films in colour: three channels where they are asked for, and a line where a file has other ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import RLELossless

from sldd.errors import InputError
from sldd.io.film import ChannelsError
from sldd.io.radiograph import read_film
from tests.conftest import write_dicom

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
    with pytest.raises(ChannelsError, match="the DICOM file is gray"):
        read_film(write_dicom(tmp_path / "a.dcm", RGB[..., 0]), 3)


def _dicom(path: Path, pixels: np.ndarray, kind: str = "RGB", **tags: object) -> Path:
    """RGB or YBR of 8 bit, frames first where there are four dimensions."""
    shape = {"Rows": pixels.shape[-3], "Columns": pixels.shape[-2], "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": pixels.tobytes()}
    tags = {"PhotometricInterpretation": kind} | shape | depth | tags
    return write_dicom(path, pixels[..., 0].reshape(-1, 1), **tags)


def test_dicom_images_in_colour(tmp_path: Path) -> None:
    plain = _dicom(tmp_path / "a.dcm", RGB)
    np.testing.assert_array_equal(read_film(plain, 3).pixels, RGB)
    planes = _dicom(tmp_path / "b.dcm", RGB, PlanarConfiguration=1, PixelData=RGB.transpose(2, 0, 1).tobytes())
    np.testing.assert_array_equal(read_film(planes, 3).pixels, RGB)
    ybr = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    turned = read_film(_dicom(tmp_path / "c.dcm", ybr, "YBR_FULL"), 3).pixels
    assert np.abs(turned.astype(int) - RGB).max() < 4
    dataset = dcmread(plain)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(tmp_path / "d.dcm")
    np.testing.assert_array_equal(read_film(tmp_path / "d.dcm", 3).pixels, RGB)
    with pytest.raises(InputError, match="the DICOM file is RGB, not gray scale"):
        read_film(plain)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR", "SamplesPerPixel": 1}, "is PALETTE COLOR, not RGB"),
        ({"BitsStored": 7, "HighBit": 6}, "has not 8 bits from 0 up in each channel"),
        ({"PixelData": b"12"}, "is cut off: its pixels take"),
    ],
)
def test_other_dicom_colours_are_refused(tmp_path: Path, tags: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_film(_dicom(tmp_path / "a.dcm", RGB, **tags), 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("place", "frame"), [(0.0, 0), (0.5, 2), (0.7, 3), (1.0, 4)])
@pytest.mark.parametrize("packed", [False, True])
def test_of_several_frames_the_one_that_is_asked_for(tmp_path: Path, place: float, frame: int, packed: bool) -> None:
    frames = np.stack([np.roll(RGB, 5 * number, 1) for number in range(5)])
    file = _dicom(tmp_path / "a.dcm", frames, NumberOfFrames=5)
    gray = frames[..., 0].reshape(-1, frames.shape[2])
    eight = {"BitsStored": 8, "HighBit": 7, "Rows": frames.shape[1], "NumberOfFrames": 5}
    single = write_dicom(tmp_path / "b.dcm", gray, **eight)
    for path in (file, single) if packed else ():
        dataset = dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(path)
    np.testing.assert_array_equal(read_film(file, 3, place).pixels, frames[frame])
    np.testing.assert_array_equal(read_film(single, 1, place).pixels // 257, frames[frame][..., 0])
    with pytest.raises(InputError, match="more than one frame; export"):
        read_film(file, 3)
    np.testing.assert_array_equal(read_film(_dicom(tmp_path / "c.dcm", RGB), 3, place).pixels, RGB)


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
