"""PNG, JPEG and TIFF films: one picture, one way up, one polarity, whatever the file makes of it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from sldd.errors import InputError
from sldd.io.radiograph import read_film, read_radiograph

RAMP = np.tile(np.linspace(0, 255, 40).round().astype(np.uint8), (24, 1))
DEEP = RAMP.astype(np.uint16) * 257


def _refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_radiograph(path)
    assert "\n" not in str(caught.value)
    assert path.name not in str(caught.value)
    return str(caught.value)


def tiff(path: Path, values: np.ndarray, *, photometric: int = 1, bits: int | None = None, **more: int) -> Path:
    """An uncompressed TIFF file of one strip, tag by tag; Pillow writes no other polarity."""
    bits = bits or values.itemsize * 8
    data, order = values.tobytes(), ">" if values.dtype.byteorder == ">" else "<"
    if bits == 12:  # two pixels in three bytes
        pairs = values.reshape(-1, 2).astype(np.uint32)
        packed = pairs[:, 0] << 12 | pairs[:, 1]
        data = b"".join(int(word).to_bytes(3, "big") for word in packed)
    elif bits == 1:
        data = np.packbits(values.astype(bool), axis=1).tobytes()
    tags = {256: values.shape[1], 257: values.shape[0], 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1}
    tags |= {278: values.shape[0], 279: len(data), **{int(name[1:]): value for name, value in more.items()}}
    entries = [struct.pack(f"{order}HHLL", tag, 4, 1, value) for tag, value in sorted(tags.items())]
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}L", 0)
    padded = data + b"\0" * (len(data) % 2)
    path.write_bytes(
        struct.pack(f"{order}2sHL", b"II" if order == "<" else b"MM", 42, 8 + len(padded)) + padded + directory
    )
    return path


@pytest.mark.parametrize("values", [RAMP, DEEP], ids=["8", "16"])
def test_zero_as_white_is_one_polarity_at_every_depth(tmp_path: Path, values: np.ndarray) -> None:
    black = read_radiograph(tiff(tmp_path / "black.tif", values))
    white = read_film(tiff(tmp_path / "white.tif", values, photometric=0))
    np.testing.assert_array_equal(black, values)
    np.testing.assert_array_equal(white.pixels, np.iinfo(values.dtype).max - values)
    assert white.changed == (("zero is white",) if values.itemsize == 2 else ())


def test_big_endian_words(tmp_path: Path) -> None:
    words = DEEP.astype(">u2")
    np.testing.assert_array_equal(read_radiograph(tiff(tmp_path / "black.tif", words)), DEEP)
    assert "cannot be read" in _refusal(tiff(tmp_path / "white.tif", words, photometric=0))


def test_twelve_bits(tmp_path: Path) -> None:
    values = np.tile(np.linspace(0, 4095, 40).round().astype(np.uint16), (24, 1))
    np.testing.assert_array_equal(read_radiograph(tiff(tmp_path / "black.tif", values, bits=12)), values)
    assert "cannot be read" in _refusal(tiff(tmp_path / "white.tif", values, bits=12, photometric=0))


def test_zero_as_white_of_no_known_depth_is_refused(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32)
    assert "zero as white" in _refusal(tiff(tmp_path / "a.tif", values, photometric=0, t339=3))
    assert read_radiograph(tiff(tmp_path / "b.tif", values, t339=3)).max() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_one_rule_for_all_formats(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(RAMP).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", exif=exif, quality=100)
    deep = Image.fromarray(DEEP)
    deep.save(tmp_path / "deep.png", exif=exif)
    films = {
        "raw": read_radiograph(tiff(tmp_path / "raw.tif", RAMP, t274=orientation)),
        "raw16": read_radiograph(tiff(tmp_path / "raw16.tif", DEEP, t274=orientation)) // 257,
        "png": read_radiograph(tmp_path / "a.png"),
        "png16": read_radiograph(tmp_path / "deep.png") // 257,
        "jpeg": read_radiograph(tmp_path / "a.jpg"),
    }
    # What was once read otherwise: nothing was turned, and rows were taken for columns where a TIFF lies on its side.
    turned = [name for name in ("raw.tif", "a.png", "a.jpg") if read_film(tmp_path / name).changed == ("orientation",)]
    assert turned == ["raw.tif"] * (orientation > 4) + ["a.png", "a.jpg"] * (orientation > 1)
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        info[274] = orientation
        Image.fromarray(RAMP).save(tmp_path / f"{compression}.tif", compression=compression, tiffinfo=info)
        films[compression] = read_radiograph(tmp_path / f"{compression}.tif")
    # TIFF 6.0, Orientation: what the first row and column of the file are on the upright picture.
    expected = {
        1: RAMP, 2: RAMP[:, ::-1], 3: RAMP[::-1, ::-1], 4: RAMP[::-1],
        5: RAMP.T, 6: RAMP.T[:, ::-1], 7: RAMP.T[::-1, ::-1], 8: RAMP.T[::-1],
    }[orientation]  # fmt: skip
    for name, pixels in films.items():
        np.testing.assert_allclose(pixels.astype(int), expected.astype(int), atol=2 * (name == "jpeg"), err_msg=name)


def test_an_orientation_that_is_damaged_says_nothing(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_radiograph(tmp_path / "a.jpg").shape == RAMP.shape


def test_several_pages_or_frames_are_refused(tmp_path: Path) -> None:
    picture, other = Image.fromarray(RAMP), Image.fromarray(255 - RAMP)
    picture.save(tmp_path / "a.tif", save_all=True, append_images=[other])
    picture.save(tmp_path / "b.png", save_all=True, append_images=[other])
    picture.convert("RGB").save(tmp_path / "c.jpg", "MPO", save_all=True, append_images=[other.convert("RGB")])
    for name in ("a.tif", "b.png", "c.jpg"):
        assert "several pages or frames" in _refusal(tmp_path / name)


def _png(path: Path, samples: np.ndarray, colour: int) -> Path:
    """A PNG file of 16 bits a channel, which Pillow does not write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">LLBBBBB", samples.shape[1], samples.shape[0], 16, colour, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [struct.pack(">L", len(d)) + k + d + struct.pack(">L", zlib.crc32(k + d)) for k, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.parametrize(("channels", "colour"), [(3, 2), (2, 4), (4, 6)], ids=["RGB", "gray, alpha", "RGBA"])
def test_sixteen_bits_in_several_channels_are_refused(tmp_path: Path, channels: int, colour: int) -> None:
    samples = np.repeat(DEEP[..., None], channels, axis=2)
    assert "16 bits in each of several channels" in _refusal(_png(tmp_path / "a.png", samples, colour))


def test_sixteen_bit_gray_png(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_radiograph(_png(tmp_path / "a.png", DEEP, 0)), DEEP)


def test_an_alpha_channel_that_hides_nothing_is_dropped(tmp_path: Path) -> None:
    opaque = np.full_like(RAMP, 255)
    Image.fromarray(np.stack([RAMP, RAMP, RAMP, opaque], axis=2)).save(tmp_path / "a.png")
    black = np.where(RAMP == 0, 0, 255).astype(np.uint8)  # transparent where it is black anyway
    Image.fromarray(np.stack([RAMP, black], axis=2)).save(tmp_path / "b.png")
    for name in "ab":
        np.testing.assert_array_equal(read_radiograph(tmp_path / f"{name}.png"), RAMP)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "a transparent gray value", "a transparent palette entry"])
def test_an_alpha_channel_that_hides_film_is_refused(tmp_path: Path, kind: str) -> None:
    picture = Image.fromarray(RAMP)
    if kind in ("RGBA", "LA"):
        picture = picture.convert(kind)
        picture.putalpha(Image.fromarray(255 - RAMP))
        picture.save(tmp_path / "a.png")
    else:
        picture.convert("P" if "palette" in kind else "L").save(tmp_path / "a.png", transparency=int(RAMP[0, 20]))
    assert "transparent where it is not black" in _refusal(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_what_is_no_gray_scale_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "a.tif")
    assert f"the image is {mode}, no gray scale" in _refusal(tmp_path / "a.tif")


def test_signed_values_are_refused(tmp_path: Path) -> None:
    signed = RAMP.astype(np.int16) - 128
    assert "signed values of 8 bits" in _refusal(tiff(tmp_path / "a.tif", signed.astype(np.int8), t339=2))
    assert "values outside 0..65535" in _refusal(tiff(tmp_path / "b.tif", signed, t339=2))
    np.testing.assert_array_equal(read_radiograph(tiff(tmp_path / "c.tif", RAMP.astype(np.int16), t339=2)), RAMP)


def test_a_transparent_gray_value_of_sixteen_bits(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "a.png", transparency=int(DEEP[0, 20]))
    assert "transparent where it is not black" in _refusal(tmp_path / "a.png")
    Image.fromarray(DEEP).save(tmp_path / "b.png", transparency=0)
    np.testing.assert_array_equal(read_radiograph(tmp_path / "b.png"), DEEP)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("values", [RAMP, DEEP], ids=["8", "16"])
def test_zero_as_white_in_compressed_files(tmp_path: Path, compression: str, values: np.ndarray) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    Image.fromarray(values).save(tmp_path / "a.tif", compression=compression, tiffinfo=info)
    content = (tmp_path / "a.tif").read_bytes()
    entry = struct.pack("<HHL", 262, 3, 1)
    at = content.index(entry) + len(entry)
    (tmp_path / "a.tif").write_bytes(content[:at] + b"\0\0" + content[at + 2 :])
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.tif"), np.iinfo(values.dtype).max - values)


def test_one_bit_is_no_film(tmp_path: Path) -> None:
    Image.fromarray(RAMP > 100).save(tmp_path / "a.png")
    assert "1 bit a pixel, as masks have" in _refusal(tmp_path / "a.png")


def test_a_gray_palette_and_gray_colours_are_read_and_colours_are_said(tmp_path: Path) -> None:
    Image.fromarray(RAMP).convert("P").save(tmp_path / "a.png")
    Image.fromarray(RAMP).convert("RGB").save(tmp_path / "b.png")
    for name in "ab":
        film = read_film(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(film.pixels, RAMP)
        assert film.notes == ()
    Image.fromarray(np.stack([RAMP, 255 - RAMP, RAMP], axis=2)).save(tmp_path / "c.png")
    assert read_film(tmp_path / "c.png").notes == (
        "it is in colour, and read as its brightness; data.channels=rgb reads its colours",
    )
