"""Check compressed DICOM pixels before they are decoded: size, depth, number of frames.

Sizes are compared with the header before a decoder makes room for what a stream claims.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from sldd.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

_RLE_HEADER = 64
"""Bytes: the number of segments and fifteen offsets, of 32 bits each."""


class StreamShape(NamedTuple):
    """Size and depth in the header of a JPEG, JPEG-LS or JPEG 2000 stream."""

    rows: int
    columns: int
    components: int
    depth: int
    """Bits of a pixel."""


def check_frame(dataset: Dataset, number: int, frames: int) -> int | None:
    """Refuse compressed pixels that are more frames, or would grow to more, than the header says.

    Args:
        number: of the frame that will be decoded, from 0.

    Returns:
        Bits of a pixel in the stream, where it says so.

    Raises:
        InputError: as above.
    """
    from pydicom.encaps import get_frame, parse_basic_offsets
    from pydicom.uid import RLELossless

    if len(parse_basic_offsets(dataset.PixelData)) > frames:
        raise InputError("the DICOM file holds more frames than it says; export the single image")
    frame = get_frame(dataset.PixelData, number, number_of_frames=frames)
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        depth, fits = None, _rle_fits(frame, dataset.Rows * dataset.Columns + 2)  # padded to an even length
    else:
        shape = _stream_shape(frame)
        depth = None if shape is None else shape.depth
        fits = shape is not None and shape[:3] == (dataset.Rows, dataset.Columns, dataset.get("SamplesPerPixel", 1))
    if not fits:
        raise InputError("the DICOM file's compressed pixels do not fit its Rows and Columns; export it again")
    return depth


def _rle_fits(frame: bytes, most: int) -> bool:
    """Whether the segments of an RLE frame follow on each other and grow to ``most`` bytes at most (PS3.5 G.3).

    Segments that overlap would be looked at again and again, and each is looked at up to where it is too long.
    """
    segments, *offsets = struct.unpack("<16L", frame[:_RLE_HEADER])
    bounds = [offsets[0], *offsets[1:segments], len(frame)]
    if bounds[0] < _RLE_HEADER or any(start >= end for start, end in pairwise(bounds)):
        return False
    return all(_unpacked_length(frame, start, end, most) <= most for start, end in pairwise(bounds))


def _unpacked_length(frame: bytes, start: int, end: int, most: int) -> int:
    """Bytes that the RLE segment from ``start`` to ``end`` grows to, counted until they are more than ``most``.

    A segment is runs behind a head byte (PackBits, PS3.5 G.3.1). ``head + 1`` bytes are copied where it is below 128,
    one byte is repeated ``257 - head`` times where it is above, and 128 itself stands for nothing.
    """
    at, length = start, 0
    while at < end and length <= most:
        head = frame[at]
        if head < 128:
            at, length = at + 1 + head + 1, length + head + 1
        elif head > 128:
            at, length = at + 2, length + 257 - head
        else:
            at += 1
    return length


def _stream_shape(frame: bytes) -> StreamShape | None:
    """What a stream's own header says; None where it is no JPEG, JPEG-LS or JPEG 2000 stream."""
    if frame[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: SOC, SIZ
        right, bottom, left, top, *_, components, depth = struct.unpack(">8LHB", frame[8:43])
        return StreamShape(bottom - top, right - left, components, (depth & 0x7F) + 1)
    return _jpeg_shape(frame) if frame[:2] == b"\xff\xd8" else None  # SOI


def _jpeg_shape(frame: bytes) -> StreamShape | None:
    """What the start of frame says of a JPEG or JPEG-LS stream; the segments before it are passed over."""
    at = 2
    while at + 9 < len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif _starts_frame(marker):
            depth, rows, columns, components = struct.unpack(">BHHB", frame[at + 4 : at + 10])
            return StreamShape(rows, columns, components, depth)
        else:
            at += 2 + struct.unpack(">H", frame[at + 2 : at + 4])[0]
    return None


def _starts_frame(marker: int) -> bool:
    """SOF0 to SOF15, which DHT, JPG and DAC lie among, and SOF55 of JPEG-LS."""
    return marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC))
