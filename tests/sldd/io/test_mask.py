"""Organ masks of all kinds: two values, label maps, soft edges, colours, alpha; and what is none of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from sldd.errors import InputError
from sldd.io.mask import organ, read_mask, read_organ

LEFT, RIGHT = (np.zeros((96, 96), bool) for _ in range(2))
LEFT[20:70, 12:40] = True
RIGHT[24:76, 54:84] = True
BOTH = LEFT | RIGHT


def _labels(left: int, right: int, outside: int = 0, kind: type[np.generic] = np.uint8) -> np.ndarray:
    return (outside + LEFT * (left - outside) + RIGHT * (right - outside)).astype(kind)


def _saved(path: Path, values: np.ndarray | Image.Image, **options: object) -> Path:
    picture = values if isinstance(values, Image.Image) else Image.fromarray(values)
    picture.save(path, **options)
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_mask(path)
    assert "\n" not in str(caught.value)
    assert path.name not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        _labels(1, 1), _labels(100, 100), _labels(255, 255),
        _labels(1, 2), _labels(2, 1), _labels(100, 200), _labels(128, 255), _labels(60, 255), _labels(3, 7),
        _labels(1, 2, kind=np.uint16), _labels(20000, 65535, kind=np.uint16), _labels(1, 2, kind=np.int32),
        _labels(1, 1, kind=np.float32), _labels(2, 2, outside=1), _labels(255, 255, outside=200),
    ],
)  # fmt: skip
def test_two_values_and_label_maps(tmp_path: Path, values: np.ndarray) -> None:
    name = "m.tif" if values.dtype in (np.float32, np.int32) else "m.png"
    np.testing.assert_array_equal(read_mask(_saved(tmp_path / name, values)), BOTH)


def test_labels_without_an_inside_of_their_own_are_kept(tmp_path: Path) -> None:
    values = _labels(2, 3)
    values[5, 5:90] = 1  # a line, a vessel of one pixel
    expected = BOTH.copy()
    expected[5, 5:90] = True
    np.testing.assert_array_equal(read_mask(_saved(tmp_path / "m.png", values)), expected)


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_soft_edges_are_cut_in_the_middle(tmp_path: Path, quality: int) -> None:
    picture = Image.fromarray(_labels(255, 255))
    _saved(tmp_path / "m.jpg", picture, quality=quality)
    assert (read_mask(tmp_path / "m.jpg") != BOTH).mean() < 0.005
    large = picture.resize((384, 384), Image.Resampling.BICUBIC)
    smooth = large.filter(ImageFilter.GaussianBlur(3)).resize((96, 96), Image.Resampling.BILINEAR)
    read = read_organ(_saved(tmp_path / "s.png", smooth))
    assert (read.inside != BOTH).mean() < 0.01
    assert read.changed == (), "as ever"


def test_a_label_map_that_was_resized(tmp_path: Path) -> None:
    large = Image.fromarray(_labels(100, 200)).resize((192, 192), Image.Resampling.BILINEAR)
    read = read_mask(_saved(tmp_path / "m.png", large))
    assert (read != np.kron(BOTH, np.ones((2, 2), bool))).mean() < 0.01


def test_a_label_map_through_jpeg(tmp_path: Path) -> None:
    read = read_mask(_saved(tmp_path / "m.jpg", Image.fromarray(_labels(120, 240)), quality=90))
    assert (read != BOTH).mean() < 0.01


def test_colours_are_labels(tmp_path: Path) -> None:
    colours = np.zeros((*BOTH.shape, 3), np.uint8)
    colours[LEFT], colours[RIGHT] = (128, 0, 0), (0, 0, 90)
    np.testing.assert_array_equal(read_mask(_saved(tmp_path / "rgb.png", colours)), BOTH)
    palette = Image.fromarray(_labels(1, 2)).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])  # as PASCAL VOC numbers them
    np.testing.assert_array_equal(read_mask(_saved(tmp_path / "voc.png", palette)), BOTH)
    swapped = Image.fromarray((~BOTH).astype(np.uint8)).convert("P")
    swapped.putpalette([255, 255, 255, 0, 0, 0])  # the organ is number 0, and white
    np.testing.assert_array_equal(read_mask(_saved(tmp_path / "p.png", swapped)), BOTH)


def test_one_bit_of_either_polarity(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(_saved(tmp_path / "m.png", BOTH)), BOTH)
    _saved(tmp_path / "m.tif", Image.fromarray(BOTH), compression="group4")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), BOTH)


@pytest.mark.parametrize("paint", [255, 0, 90])
def test_an_organ_in_the_alpha_channel(tmp_path: Path, paint: int) -> None:
    alpha = Image.fromarray(_labels(255, 255))
    for mode in ("RGBA", "LA"):
        picture = Image.new("L", alpha.size, paint).convert(mode)
        picture.putalpha(alpha)
        np.testing.assert_array_equal(read_mask(_saved(tmp_path / f"{mode}.png", picture)), BOTH)


def test_what_is_transparent_is_outside(tmp_path: Path) -> None:
    drawn = np.full((*BOTH.shape, 4), 255, np.uint8)  # white paper, hidden
    drawn[..., 3] = BOTH * 255
    drawn[LEFT, :3], drawn[RIGHT, :3] = (200, 0, 0), (0, 200, 0)
    np.testing.assert_array_equal(read_mask(_saved(tmp_path / "m.png", drawn)), BOTH)
    opaque = np.dstack([_labels(255, 255)] * 3 + [np.full(BOTH.shape, 255, np.uint8)])
    np.testing.assert_array_equal(read_mask(_saved(tmp_path / "o.png", opaque)), BOTH)
    gray = Image.fromarray(_labels(1, 1))
    _saved(tmp_path / "t.png", gray, transparency=0)  # one gray value is called transparent
    np.testing.assert_array_equal(read_mask(tmp_path / "t.png"), BOTH)


def _noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)


def _hidden() -> Image.Image:
    return Image.new("RGBA", (96, 96), (255, 255, 255, 0))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((16, 16), np.uint8), "the mask is all black"),
        (_hidden(), "transparent everywhere"),
        (_noise(), "a picture of many gray values"),
        (np.tile(np.arange(96, dtype=np.uint8) * 2, (96, 1)), "a picture of many gray values"),
        (_labels(100, 255, outside=50), "three values or more and none is black"),
        (_labels(1, 255), "large areas of a value just above black"),
        (np.full((16, 16), -1, np.int32), "values outside 0..65535"),
        (np.full((16, 16), np.nan, np.float32), "values outside 0..65535"),
    ],
    ids=["black", "hidden", "noise", "a film", "no black", "faint", "negative", "nan"],
)
def test_what_does_not_say_which_pixels_are_the_organ(
    tmp_path: Path, values: np.ndarray | Image.Image, says: str
) -> None:
    wide = isinstance(values, np.ndarray) and values.dtype in (np.int32, np.float32)
    assert says in _refusal(_saved(tmp_path / ("m.tif" if wide else "m.png"), values))


def test_pages_and_a_dicom_file_are_refused(tmp_path: Path) -> None:
    mask = Image.fromarray(_labels(255, 255))
    mask.save(tmp_path / "m.tif", save_all=True, append_images=[mask])
    assert "the mask file holds several pages" in _refusal(tmp_path / "m.tif")
    (tmp_path / "m.dcm").write_bytes(b"\0" * 128 + b"DICM")
    assert "it should be a whole PNG, JPEG or TIFF" in _refusal(tmp_path / "m.dcm")


def test_full_inverted_and_tiny_masks_are_said(tmp_path: Path) -> None:
    def notes(values: np.ndarray) -> str:
        return " ".join(read_organ(_saved(tmp_path / "m.png", values)).notes)

    assert notes(np.full((16, 16), 255, np.uint8)) == "the mask marks the whole film"
    assert "is it inverted?" in notes(_labels(0, 0, outside=255))
    dot = np.zeros((96, 96), np.uint8)
    dot[4, 4:8] = 255
    assert "less than a thousandth" in notes(dot)
    outline = Image.new("L", (96, 96))
    ImageDraw.Draw(outline).ellipse((20, 20, 80, 80), outline=255, width=2)
    assert "does it outline the organ and not fill it?" in notes(np.asarray(outline))
    for shape in ((1, 40), (40, 1), (2, 2), (3, 3)):
        assert notes(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape) // (shape[0] * shape[1] - 1)) is not None
    assert notes(_labels(255, 255)) == ""


def test_masks_that_are_read_as_ever_are_not_called_changed(tmp_path: Path) -> None:
    assert read_organ(_saved(tmp_path / "a.png", _labels(255, 255))).changed == ()
    assert read_organ(_saved(tmp_path / "b.png", _labels(1, 2))).changed == ("mask",)
    buffer = io.BytesIO()
    Image.fromarray(_labels(255, 255)).save(buffer, "JPEG")
    (tmp_path / "c.jpg").write_bytes(buffer.getvalue())
    assert read_organ(tmp_path / "c.jpg").changed == ()


def test_tiny_pictures() -> None:
    for shape in ((1, 1), (1, 5), (2, 2), (5, 1)):
        assert organ(np.full(shape, 7, np.uint8)).all()
