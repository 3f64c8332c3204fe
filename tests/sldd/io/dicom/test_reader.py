"""DICOM files: the pixels that are in them, sizes that are believed to nobody, and nothing else of a header."""

from __future__ import annotations

import logging
import struct
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder, pixel_array

from sldd.errors import InputError
from sldd.io.dicom.reader import read_dicom, read_stored
from tests.conftest import lookup_table, write_dicom
from tests.shared_data import DATA

RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)  # every value of 12 bits once
REAL = DATA / "dicom"
CANARY = "KANARIENVOGEL"


def _pixels(path: Path) -> np.ndarray:
    return read_dicom(path).pixels


def _refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        _pixels(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_twelve_bits_fill_sixteen(tmp_path: Path) -> None:
    read = _pixels(write_dicom(tmp_path / "a.dcm", RAMP))
    assert read.dtype == np.uint16
    np.testing.assert_allclose(read, RAMP.astype(float) * 65535 / 4095, atol=0.5)


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_depths_and_signs(tmp_path: Path, depth: int, signed: bool) -> None:
    low = -(1 << depth - 1) if signed else 0
    stored = np.linspace(low, low + (1 << depth) - 1, 64 * 64).round().reshape(64, 64)
    kind = f"{'i' if signed else 'u'}{1 if depth == 8 else 2}"
    path = write_dicom(tmp_path / "a.dcm", stored.astype(kind), BitsStored=depth, HighBit=depth - 1)
    expected = np.rint((stored - low) * 65535 / ((1 << depth) - 1))
    np.testing.assert_allclose(_pixels(path), expected, atol=1)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
def test_transfer_syntaxes_give_the_same_pixels(tmp_path: Path, syntax: str) -> None:
    dataset = dcmread(write_dicom(tmp_path / "plain.dcm", RAMP))
    if uid.UID(syntax).is_encapsulated:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    with warnings.catch_warnings(action="ignore"):
        dataset.save_as(tmp_path / "other.dcm", implicit_vr=syntax == uid.ImplicitVRLittleEndian)
    np.testing.assert_array_equal(_pixels(tmp_path / "other.dcm"), _pixels(tmp_path / "plain.dcm"))


def test_big_endian_films_with_a_table(tmp_path: Path) -> None:
    table = lookup_table(RAMP.ravel() * 8)
    plain = _pixels(write_dicom(tmp_path / "a.dcm", RAMP, VOILUTSequence=[table]))
    table.LUTData = (RAMP.ravel() * 8).astype(">u2").tobytes()
    big = write_dicom(tmp_path / "b.dcm", RAMP.astype(">u2"), syntax=uid.ExplicitVRBigEndian, VOILUTSequence=[table])
    np.testing.assert_array_equal(_pixels(big), plain)


def test_more_bits_than_the_header_says_are_kept(tmp_path: Path) -> None:
    dataset = dcmread(write_dicom(tmp_path / "a.dcm", RAMP))
    dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    dataset.BitsStored, dataset.HighBit = 10, 9
    dataset.save_as(tmp_path / "b.dcm")
    film = read_dicom(tmp_path / "b.dcm")
    assert len(np.unique(film.pixels)) == RAMP.size
    assert film.changed == ("depth of the stream",)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is PALETTE COLOR, not gray scale"),
        ({"PhotometricInterpretation": CANARY}, "is of another kind, not gray scale"),
        ({"SamplesPerPixel": 3}, "not gray scale"),
        ({"NumberOfFrames": 2}, "more than one frame"),
        ({"NumberOfFrames": 1000000000}, "more than one frame"),
        ({"Rows": 65535, "Columns": 65535}, "says it has 65535 x 65535 pixels"),
        ({"Rows": 0}, "says it has 64 x 0 pixels"),
        ({"Rows": 4000}, "is cut off: its pixels take 512,000 bytes and 8,192 are there"),
        ({"Rows": None}, "does not say how its pixels are stored"),
        ({"BitsAllocated": 32}, "does not store 8 to 16 bits"),
        ({"BitsStored": 17}, "does not store 8 to 16 bits"),
        ({"HighBit": 15}, "not right-aligned"),
        ({"PixelData": b""}, "is cut off: it says how its pixels are stored and ends before them"),
        ({"WindowCenter": [], "WindowWidth": 0}, None),
        ({"VOILUTSequence": [Dataset()]}, "cannot be decoded"),
    ],
)
def test_malformed_files_get_one_line(tmp_path: Path, tags: dict[str, object], says: str | None) -> None:
    path = write_dicom(tmp_path / "DOE-JANE.dcm", RAMP, **tags)
    if says is None:
        assert _pixels(path).shape == (64, 64)
        return
    message = _refusal(path)
    assert says in message
    assert "DOE" not in message
    assert CANARY not in message


@pytest.mark.parametrize("length", [0, 100, 140, 300, 700, 5000])
def test_cut_files_get_one_line(tmp_path: Path, length: int) -> None:
    path = write_dicom(tmp_path / "DOE-JANE.dcm", RAMP)
    path.write_bytes(path.read_bytes()[:length])
    assert "DOE" not in _refusal(path)


def test_text_under_a_dicom_name(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("DOE^JANE " * 100)
    assert "it has no DICOM file header" in _refusal(tmp_path / "a.dcm")


def _j2k(rows: int, columns: int, components: int = 1) -> bytes:
    size = struct.pack(">HHLLLLLLLLH", 41, 0, columns, rows, 0, 0, columns, rows, 0, 0, components)
    return b"\xff\x4f\xff\x51" + size + b"\x0b\x01\x01" + b"\xff\xd9"


def _jpeg(rows: int, columns: int, components: int = 1) -> bytes:
    frame = struct.pack(">HBHHB", 11, 12, rows, columns, components) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc3" + frame + b"\xff\xd9"


def _rle(length: int) -> bytes:
    runs = b"\x81\x00" * (length // 128)  # two bytes for 128
    return struct.pack("<16L", 2, 64, 64 + len(runs), *[0] * 13) + runs + runs


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (uid.JPEG2000Lossless, _j2k(60000, 60000)),
        (uid.JPEG2000Lossless, _j2k(64, 64, components=16384)),
        (uid.JPEGLosslessSV1, _jpeg(60000, 60000)),
        (uid.JPEGLosslessSV1, _jpeg(64, 64, components=200)),
        (uid.JPEGLosslessSV1, b"\xff\xd8\xff\xd9"),
        (uid.RLELossless, _rle(2**22)),
        (uid.RLELossless, struct.pack("<16L", 2, 64, 64, *[0] * 13) + b"\x81\x00" * 8),  # the same segment twice
        (uid.RLELossless, struct.pack("<16L", 2, 72, 64, *[0] * 13) + b"\x81\x00" * 8),
        (uid.RLELossless, struct.pack("<16L", 1, 0, *[0] * 14) + b"\x81\x00" * 8),
    ],
)
def test_compressed_pixels_may_not_grow(
    tmp_path: Path, syntax: str, frame: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object, **__: object) -> None:
        raise AssertionError("decoded all the same")

    monkeypatch.setattr(get_decoder(syntax), "as_array", decode)
    pixels = encapsulate([frame])
    path = write_dicom(tmp_path / "a.dcm", RAMP, syntax=syntax, PixelData=pixels)
    assert "compressed pixels do not fit its Rows and Columns" in _refusal(path)


def test_a_deflated_file_is_not_inflated(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, syntax=uid.DeflatedExplicitVRLittleEndian)
    assert "deflated as a whole" in _refusal(path)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    with path.open("r+b") as file:
        file.truncate(2**29 + 1)  # sparse
    assert "larger than 512 MiB" in _refusal(path)


def test_a_missing_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, syntax=uid.JPEG2000, PixelData=encapsulate([_j2k(64, 64)]))
    monkeypatch.setattr(get_decoder(uid.JPEG2000), "_available", {})
    message = _refusal(path)
    assert "compressed (JPEG 2000 Image Compression) and no decoder for that is installed" in message
    assert "pip install 'sldd-study[dicom]'" in message


def test_a_compression_that_nobody_decodes(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, syntax=uid.MPEG2MPML, PixelData=encapsulate([b"1234"]))
    assert "no decoder is known for" in _refusal(path)
    path = write_dicom(tmp_path / "b.dcm", RAMP)
    known = f"{uid.ExplicitVRLittleEndian}\0".encode()
    path.write_bytes(path.read_bytes().replace(known, b"1.2.3.47110815471108".ljust(len(known), b"\0"), 1))
    message = _refusal(path)
    assert "no decoder is known for" in message
    assert "4711" not in message


def _canaries(path: Path, change: Callable[[Dataset], None]) -> Path:
    """A film with a canary in every tag of the dictionary that holds text, and in private ones."""
    write_dicom(path, RAMP)
    with warnings.catch_warnings(action="ignore"):
        dataset = dcmread(path)
        for tag, (kind, *_) in DicomDictionary.items():
            word = keyword_for_tag(tag)
            keeps = tag >> 16 in (0, 2, 0x28, 0x7FE0) or not word or word in dataset
            if (
                kind in ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "UI", "DA", "TM", "DT")
                and not keeps
            ):
                dataset.add_new(tag, kind, CANARY)
        dataset.PatientName, dataset.PatientID = CANARY, CANARY
        dataset.private_block(0x0011, CANARY, create=True).add_new(1, "LO", CANARY)
        change(dataset)
        dataset.save_as(path, enforce_file_format=False)
    assert path.read_bytes().count(CANARY.encode()) > 1000
    return path


def _leave(dataset: Dataset) -> None:
    pass


def _name_everything(dataset: Dataset) -> None:
    dataset.PhotometricInterpretation = CANARY


def _bad_window(dataset: Dataset) -> None:
    dataset.add_new("WindowCenter", "LO", CANARY)
    dataset.add_new("WindowWidth", "LO", CANARY)


def _bad_rows(dataset: Dataset) -> None:
    dataset.add_new("Rows", "LO", CANARY)


def _bad_table(dataset: Dataset) -> None:
    item = lookup_table(np.arange(4))
    item.add_new("LUTExplanation", "LO", CANARY)
    item.add_new("LUTDescriptor", "LO", CANARY)
    dataset.VOILUTSequence = [item]


def _bad_pixels(dataset: Dataset) -> None:
    dataset.PixelData = CANARY.encode()


@pytest.mark.parametrize(
    "change", [_leave, _name_everything, _bad_window, _bad_rows, _bad_table, _bad_pixels], ids=lambda f: f.__name__
)
def test_no_header_field_gets_out(
    tmp_path: Path,
    change: Callable[[Dataset], None],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    path = _canaries(tmp_path / f"{CANARY}.dcm", change)
    caplog.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            said = _pixels(path).tobytes().decode("latin1")
        except InputError as error:
            said = str(error)
    out, err = capfd.readouterr()
    for text in (said, caplog.text, out, err, *(str(warning.message) for warning in caught)):
        assert CANARY not in text


def test_what_a_decoder_says_is_not_let_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def decode(*_: object, **__: object) -> None:
        logging.getLogger("pydicom.pixels.decoders.base").error(CANARY)
        logging.getLogger("openjpeg").warning(CANARY)
        warnings.warn(CANARY, stacklevel=1)
        raise ValueError(CANARY)

    monkeypatch.setattr(get_decoder(uid.ExplicitVRLittleEndian), "as_array", decode)
    assert CANARY not in _refusal(write_dicom(tmp_path / "a.dcm", RAMP))
    assert CANARY not in caplog.text
    logging.getLogger("pydicom").warning("afterwards")
    assert "afterwards" in caplog.text


@pytest.mark.parametrize(
    "name", ["CR-ModalitySequenceLUT", "RG1_half_uncompressed_DERIVED", "RG3_J2KR", "RG3_RLE_DERIVED"]
)
def test_real_films_have_the_reference_decoders_pixels(name: str) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no dicom films in {REAL.parent}; set SLDD_DATA to the folder that holds them")
    path = REAL / f"{name}.dcm"
    header, stored = read_stored(path)
    np.testing.assert_array_equal(stored, pixel_array(path))
    assert "PatientName" not in header
    reference = dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(stored, reference), reference).astype(float)
    top = (1 << reference.BitsStored) - 1  # of the table's entries too, though its descriptor says 16 bits
    # All four are MONOCHROME1, so what attenuates is dark as pydicom leaves it.
    np.testing.assert_allclose(_pixels(path), 65535 - shown * 65535 / top, atol=1)


def test_a_length_that_the_file_does_not_have_makes_no_room_for_it(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    content = path.read_bytes()
    at = content.index(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, RAMP.nbytes)) + 8
    path.write_bytes(content[:at] + struct.pack("<L", 0xFFFFFF00) + content[at + 4 :])
    tracemalloc.start()
    assert _pixels(path).shape == RAMP.shape
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


def test_a_decoder_that_panics_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        """As of decoders in Rust."""

    def panic(*_: object, **__: object) -> None:
        raise PanicException("index out of bounds")

    path = write_dicom(tmp_path / "a.dcm", RAMP)
    monkeypatch.setattr(get_decoder(uid.ExplicitVRLittleEndian), "as_array", panic)
    assert "cannot be decoded (PanicException)" in _refusal(path)
