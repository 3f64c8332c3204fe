"""DICOM stored values: overlays above BitsStored, padding, missing tags, files that are cut."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite, uid
from pydicom.encaps import encapsulate

from sldd.errors import InputError
from sldd.io.dicom.reader import NoImageError, read_dicom
from sldd.io.film import Radiograph
from sldd.io.radiograph import read_film
from tests.conftest import write_dicom

RAMP = np.tile(np.linspace(0, 4095, 80).round().astype(np.uint16), (60, 1))
TOP = 65535
OVERLAY = np.zeros(RAMP.shape, bool)
OVERLAY[10:20, 30:50] = OVERLAY[40, 5:75] = True


def _refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_dicom(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _j2k(pixels: np.ndarray) -> bytes:
    """All bits of the words in one JPEG 2000 frame, as encoders write them that do not ask BitsStored."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", irreversible=False, no_jp2=True)
    return encapsulate([file.getvalue()])


def _written(path: Path, words: np.ndarray, syntax: str, **tags: object) -> Path:
    if syntax == uid.JPEG2000Lossless:
        return write_dicom(path, words, syntax=syntax, PixelData=_j2k(words), **tags)
    write_dicom(path, words, **tags)
    if syntax == uid.RLELossless:
        dataset = dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
    return path


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("bit", [12, 15])
def test_an_overlay_above_the_stored_bits_is_taken_off(tmp_path: Path, syntax: str, bit: int) -> None:
    plain = read_dicom(write_dicom(tmp_path / "a.dcm", RAMP)).pixels
    film = read_dicom(_written(tmp_path / "b.dcm", RAMP | OVERLAY.astype(np.uint16) << bit, syntax))
    np.testing.assert_array_equal(film.pixels, plain)
    # Decoders took it off where it was not compressed, or by run lengths.
    assert film.changed == (("bits above BitsStored",) if syntax == uid.JPEG2000Lossless else ())


def test_a_sign_that_is_not_carried_on(tmp_path: Path) -> None:
    signed = RAMP.astype(np.int16) - 2048
    right = read_dicom(write_dicom(tmp_path / "a.dcm", signed)).pixels
    cut = read_dicom(write_dicom(tmp_path / "b.dcm", signed & 0x0FFF)).pixels
    np.testing.assert_array_equal(cut, right)


def test_a_sign_that_a_compressed_stream_does_not_know(tmp_path: Path) -> None:
    signed = RAMP.astype(np.int16) - 2048
    right = read_dicom(write_dicom(tmp_path / "a.dcm", signed)).pixels
    words = (signed & 0x0FFF).astype(np.uint16)
    tags = {"PixelData": _j2k(words), "PixelRepresentation": 1}
    film = read_dicom(write_dicom(tmp_path / "b.dcm", words, syntax=uid.JPEG2000Lossless, **tags))
    np.testing.assert_array_equal(film.pixels, right)


def test_a_stream_of_fewer_bits_than_the_header_says_is_said(tmp_path: Path) -> None:
    eight = (RAMP >> 4).astype(np.uint8)
    path = write_dicom(tmp_path / "a.dcm", RAMP, syntax=uid.JPEG2000, PixelData=_j2k(eight))
    assert read_dicom(path).notes == (
        "its compressed pixels have 8 bits, and its header says 12: it may be far too dark",
    )
    shallow = {"BitsStored": 8, "HighBit": 7, "PixelData": _j2k(eight)}
    assert read_dicom(write_dicom(tmp_path / "b.dcm", eight, syntax=uid.JPEG2000, **shallow)).notes == ()


def test_an_icon_in_the_header_is_not_the_film(tmp_path: Path) -> None:
    icon = dcmread(write_dicom(tmp_path / "icon.dcm", np.zeros((4, 4), np.uint8), BitsStored=8, HighBit=7))
    del icon.file_meta
    icon.PhotometricInterpretation = "MONOCHROME1"
    item = Dataset({element.tag: element for element in icon})
    film = read_dicom(write_dicom(tmp_path / "a.dcm", RAMP, IconImageSequence=[item])).pixels
    np.testing.assert_array_equal(film, read_dicom(write_dicom(tmp_path / "b.dcm", RAMP)).pixels)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
def test_films_that_go_beyond_their_bits_are_refused(tmp_path: Path, syntax: str) -> None:
    path = _written(tmp_path / "a.dcm", RAMP, syntax)
    dataset = dcmread(path)
    dataset.BitsStored, dataset.HighBit = 10, 9
    dataset.save_as(path)
    assert "pixels go beyond the 10 bits that it says they have" in _refusal(path)


@pytest.mark.parametrize(
    ("tags", "padding"),
    [
        ({"PixelPaddingValue": 0, "PhotometricInterpretation": "MONOCHROME1"}, (0, 0)),
        ({"PixelPaddingValue": 4095}, (4095, 4095)),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 300, "PhotometricInterpretation": "MONOCHROME1"}, (0, 300)),
        ({"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 3800}, (3800, 4095)),
        ({"PixelPaddingValue": 65535}, (65535, 65535)),
        ({"PixelPaddingValue": 63536}, (63536, 63536)),
    ],
)  # fmt: skip
def test_padding_is_background_and_no_part_of_the_film(
    tmp_path: Path, tags: dict[str, object], padding: tuple[int, int]
) -> None:
    words = RAMP.copy()
    words[:, 60:] = padding[0]
    words[:, 70:] = padding[1]
    bare = {name: value for name, value in tags.items() if not name.startswith("PixelPadding")}
    plain = read_dicom(write_dicom(tmp_path / "a.dcm", RAMP, **bare)).pixels
    film = read_dicom(write_dicom(tmp_path / "b.dcm", words, **tags))
    expected = (words >= padding[0]) & (words <= padding[1])
    assert film.padding is not None
    np.testing.assert_array_equal(film.padding, expected)
    assert not film.pixels[expected].any()
    np.testing.assert_array_equal(film.pixels[~expected], plain[~expected])
    assert film.changed == ("padding",)


@pytest.mark.parametrize("value", [-2000, 63536])
def test_padding_of_signed_films_however_it_is_written(tmp_path: Path, value: int) -> None:
    words = RAMP.astype(np.int16) - 2048
    words[:, 60:] = -2000
    path = write_dicom(tmp_path / "a.dcm", words, BitsStored=16, HighBit=15)
    dataset = dcmread(path)
    dataset.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    with warnings.catch_warnings(action="ignore"):
        dataset.save_as(path)
    film = read_dicom(path)
    assert film.padding is not None
    assert film.padding.sum() == 60 * 20
    assert not film.pixels[:, 60:].any()


def test_padding_that_is_everywhere_or_nowhere(tmp_path: Path) -> None:
    assert "all padding" in _refusal(write_dicom(tmp_path / "a.dcm", np.full_like(RAMP, 7), PixelPaddingValue=7))
    film = read_dicom(write_dicom(tmp_path / "b.dcm", RAMP, PixelPaddingValue=60000))
    assert film.padding is None
    assert film.changed == ()
    mostly = np.where(np.arange(80) < 76, 0, RAMP).astype(np.uint16)
    assert "padding" in " ".join(read_dicom(write_dicom(tmp_path / "c.dcm", mostly, PixelPaddingValue=0)).notes)


def _bare(path: Path, implicit: bool, little: bool = True) -> Path:
    """The data set alone, as a network gives it, without preamble and file header."""
    stored = RAMP if little else RAMP.astype(">u2")
    dataset = Dataset({element.tag: element for element in dcmread(write_dicom(path, RAMP))})
    dataset.PixelData = stored.tobytes()
    dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"
    return path


@pytest.mark.parametrize("name", ["a.dcm", "IM000001"])
@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_a_data_set_without_the_file_header_is_read(tmp_path: Path, name: str, implicit: bool, little: bool) -> None:
    plain = read_film(write_dicom(tmp_path / "plain.dcm", RAMP)).pixels
    np.testing.assert_array_equal(read_film(_bare(tmp_path / name, implicit, little)).pixels, plain)


def test_a_compressed_data_set_without_the_file_header_is_refused(tmp_path: Path) -> None:
    dataset = dcmread(_written(tmp_path / "a.dcm", RAMP, uid.RLELossless))
    del dataset.file_meta.TransferSyntaxUID
    with warnings.catch_warnings(action="ignore"):
        dataset.save_as(tmp_path / "b.dcm", implicit_vr=False, little_endian=True, enforce_file_format=False)
    assert "how it is encoded (TransferSyntaxUID is missing)" in _refusal(tmp_path / "b.dcm")


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ("PhotometricInterpretation", "whether bright or dark is zero (PhotometricInterpretation is missing)"),
        ("BitsStored", "(BitsStored missing)"),
        ("PixelRepresentation", "(PixelRepresentation missing)"),
        ("PixelData", "cut off: it says how its pixels are stored and ends before them"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, tag: str, says: str) -> None:
    dataset = dcmread(write_dicom(tmp_path / "a.dcm", RAMP))
    delattr(dataset, tag)
    dataset.save_as(tmp_path / "b.dcm")
    assert says in _refusal(tmp_path / "b.dcm")


def test_no_transfer_syntax_in_the_file_header(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    content = path.read_bytes()
    element = b"\x02\x00\x10\x00UI"
    at = content.index(element)
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    path.write_bytes(content[:at] + content[at + 8 + length :])
    assert "how it is encoded (TransferSyntaxUID is missing)" in _refusal(path)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_files_that_are_cut_are_refused(tmp_path: Path, syntax: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (60, 80), dtype=np.uint16)
    path = _written(tmp_path / "a.dcm", noise, syntax)
    content = path.read_bytes()
    begin = content.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(content[: begin + round(share * (len(content) - begin))])
    assert "cut off" in _refusal(path)


def test_two_films_in_one_that_says_it_holds_one(tmp_path: Path) -> None:
    two = np.concatenate([RAMP, RAMP]).tobytes()
    assert "holds the pixels of 2 films" in _refusal(write_dicom(tmp_path / "a.dcm", RAMP, PixelData=two))
    frame = _j2k(RAMP)
    assert frame
    pixels = encapsulate([b"\xff\x4f\xff\x51" + b"\0" * 60] * 2, has_bot=True)
    path = write_dicom(tmp_path / "b.dcm", RAMP, syntax=uid.JPEG2000Lossless, PixelData=pixels)
    assert "more frames than it says" in _refusal(path)


def test_what_is_no_image_is_known_as_such(tmp_path: Path) -> None:
    dataset = dcmread(write_dicom(tmp_path / "a.dcm", RAMP))
    for tag in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        delattr(dataset, tag)
    dataset.save_as(tmp_path / "report.dcm")
    with pytest.raises(NoImageError, match="so it is no image"):
        read_dicom(tmp_path / "report.dcm")


@pytest.mark.parametrize(
    ("window", "said"), [((127, 255), True), ((60000, 100), True), ((2048, 4096), False), ((2048, 2000), False)]
)
def test_a_window_that_does_not_fit_is_said(tmp_path: Path, window: tuple[int, int], said: bool) -> None:
    tags = dict(zip(("WindowCenter", "WindowWidth"), window, strict=True))
    notes = read_dicom(write_dicom(tmp_path / "a.dcm", RAMP, **tags)).notes
    assert bool(notes) is said
    assert all("window" in note and "does not fit" in note for note in notes)


def test_a_film_that_is_mostly_one_value_is_no_windows_fault(tmp_path: Path) -> None:
    words = np.where(np.arange(80) < 74, 0, RAMP).astype(np.uint16)  # air around a small part
    assert read_dicom(write_dicom(tmp_path / "a.dcm", words, WindowCenter=2048, WindowWidth=4096)).notes == ()


def test_a_plain_film_has_nothing_said_of_it(tmp_path: Path) -> None:
    film = read_dicom(write_dicom(tmp_path / "a.dcm", RAMP))
    assert isinstance(film, Radiograph)
    assert (film.padding, film.changed, film.notes) == (None, (), ())
    assert isinstance(dcmread(tmp_path / "a.dcm"), Dataset)
    assert film.pixels.max() == TOP
