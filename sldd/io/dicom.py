"""Read the film of one DICOM file: check what it claims, decode its stored values, show them as ``grayscale`` says.

Only the tags named below are read. A header is full of names, and so are exceptions, warnings and log lines about it:
nothing of either leaves this file. Sizes are checked before anything is allocated, in the header and in what is
compressed.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sldd.errors import InputError
from sldd.io.dicom_grayscale import TAGS, grayscale, stored_range

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_DECODING = 2
"""Part of a cohort's fingerprint. Raise it whenever the same DICOM file would give other pixels than before."""

MAX_PIXELS = 2**26
"""A film of 8192 x 8192. The largest detectors have some 5000 pixels a side; more is a slip or an attack."""
_MAX_BYTES = 2**29

_STORED = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
_COLOURS = {"PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"}


def is_dicom(path: Path) -> bool:
    """True where a file's content, or else its name, says DICOM."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" or path.suffix.lower() in {".dcm", ".dicom"}


def read_dicom(path: Path) -> np.ndarray:
    """Read one radiograph.

    Returns:
        (height, width) uint16 over the whole range that a viewer would show; bright means attenuating.

    Raises:
        InputError: it cannot be decoded, or holds no single gray-scale film of 8 to 16 bit.
    """
    with _nothing_said():
        try:
            header, stored = read_stored(path)
            low, high = stored_range(header)
            low, high = min(low, int(stored.min())), max(high, int(stored.max()))  # some hold more than they say
            shown = grayscale(header, np.arange(low, high + 1))
        except (InputError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # pydicom raises a wide range, and decoders in Rust what is no Exception
            raise InputError(
                f"the DICOM file cannot be decoded ({type(error).__name__}); it is damaged or no image: export it again"
            ) from None
    table = np.rint(shown * np.iinfo(np.uint16).max).astype(np.uint16)
    return table[stored.astype(np.int32) - low]


def read_stored(path: Path) -> tuple[Dataset, np.ndarray]:
    """The tags that matter and the (height, width) stored values; sizes are checked before anything is allocated."""
    from pydicom import dcmread
    from pydicom.pixels import get_decoder

    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"the DICOM file is larger than {_MAX_BYTES >> 20} MiB; export the single radiograph")
    tags = [*_STORED, *TAGS]
    with _Guarded(path) as file:
        _check_header(dcmread(file, stop_before_pixels=True, specific_tags=[*tags]))
        file.seek(0)
        dataset = dcmread(file, specific_tags=[*tags, "PixelData"])
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise InputError(
            "the DICOM file is compressed in a way that no decoder is known for; export it uncompressed"
        ) from None
    if not decoder.is_available:
        raise InputError(
            f"the DICOM file is compressed ({syntax.name}) and no decoder for that is installed; "
            "pip install 'sldd-study[dicom]'"
        )
    if syntax.is_encapsulated:
        _check_frame(dataset)
    stored, _ = decoder.as_array(dataset, raw=True)
    if stored.shape != (dataset.Rows, dataset.Columns):
        raise InputError("the DICOM file's pixels do not fit its Rows and Columns; export it again")
    return dataset, stored


class _Guarded(io.BufferedReader):
    """A file that gives no more than it has: of a length in a header, Python would first make room for all of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            # pydicom does so in one place: to inflate all that there is, whatever size that has.
            raise InputError("the DICOM file is deflated as a whole; export it uncompressed or with compressed pixels")
        return super().read(min(size, max(0, self._size - self.tell())))


def _check_header(header: Dataset) -> None:
    needed = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
    if any(header.get(tag) is None for tag in needed):
        raise InputError("the DICOM file does not say how its pixels are stored, so it is no image; export the film")
    colour = str(header.get("PhotometricInterpretation", "")).strip()
    if colour not in ("MONOCHROME1", "MONOCHROME2") or int(header.get("SamplesPerPixel", 1)) != 1:
        word = colour if colour in _COLOURS else "of another kind"  # whatever else stands there may be anything
        raise InputError(f"the DICOM file is {word}, not gray scale; export it as MONOCHROME1 or MONOCHROME2")
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise InputError("the DICOM file holds more than one gray-scale frame; export the single radiograph")
    rows, columns = int(header.Rows), int(header.Columns)
    if not 0 < rows * columns <= MAX_PIXELS:
        raise InputError(
            f"the DICOM file says it has {columns} x {rows} pixels; a film has 1 to {MAX_PIXELS:,}: export it again"
        )
    allocated, depth = int(header.BitsAllocated), int(header.BitsStored)
    if allocated not in (8, 16) or not 1 <= depth <= allocated:
        raise InputError("the DICOM file does not store 8 to 16 bits a pixel; export it so")
    if int(header.get("HighBit", depth - 1)) != depth - 1:
        raise InputError("the DICOM file's bits are not right-aligned (HighBit); export it again")


def _check_frame(dataset: Dataset) -> None:
    """Refuse compressed pixels that would grow to more than the header says."""
    from pydicom.encaps import generate_frames
    from pydicom.uid import RLELossless

    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        pixels = dataset.Rows * dataset.Columns
        fits = all(length <= pixels + 2 for length in _rle_lengths(frame))  # padded to an even length
    else:
        fits = _stream_shape(frame) == (dataset.Rows, dataset.Columns, 1)
    if not fits:
        raise InputError("the DICOM file's compressed pixels do not fit its Rows and Columns; export it again")


def _rle_lengths(frame: bytes) -> Iterator[int]:
    """How long the segments of an RLE frame are once decoded (PS3.5 G.3)."""
    count, *offsets = struct.unpack("<16L", frame[:64])
    ends = [*offsets[1:count], len(frame)]
    for start, end in zip(offsets[:count], ends, strict=True):
        at, length = start, 0
        while at < end:
            head = frame[at]
            if head < 128:
                at, length = at + head + 2, length + head + 1
            else:
                at, length = at + 1 + (head > 128), length + (257 - head if head > 128 else 0)
        yield length


def _stream_shape(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) that a JPEG, JPEG-LS or JPEG 2000 stream says of itself; None where it does not."""
    if frame[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: SOC, SIZ
        right, bottom, left, top, *_, components = struct.unpack(">8LH", frame[8:42])
        return bottom - top, right - left, components
    at = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while at + 9 < len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # a start of frame
            _, rows, columns, components = struct.unpack(">BHHB", frame[at + 4 : at + 10])
            return rows, columns, components
        else:
            at += 2 + struct.unpack(">H", frame[at + 2 : at + 4])[0]
    return None


@contextmanager
def _nothing_said() -> Iterator[None]:
    """Warnings and log lines of the decoders quote header fields: none of them is let out, whatever logger is asked."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
