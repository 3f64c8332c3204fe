"""DICOM stored values: which bits of a word are the film's, which pixels are padding (PS3.3 C.7.5.1.1.2).

Old devices keep overlays in the bits above BitsStored (PS3.5 8.1.1, retired), and whether a decoder takes them off
depends on the transfer syntax; here it does not. Padding is no part of the film: it is shown as background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sldd.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS = ("PixelPaddingValue", "PixelPaddingRangeLimit")


def stored_range(depth: int, signed: bool) -> tuple[int, int]:
    """Lowest and highest value of ``depth`` bits."""
    return (-(1 << depth - 1), (1 << depth - 1) - 1) if signed else (0, (1 << depth) - 1)


def find_padding(header: Dataset, words: np.ndarray) -> np.ndarray | None:
    """(rows, columns) bool, true where there is no film; None where there is no padding.

    Args:
        words: (rows, columns) as decoded, all their bits.

    Raises:
        InputError: there is nothing but padding.
    """
    first, second = (_value(header, tag) for tag in TAGS)
    if first is None:
        return None
    second = first if second is None else second
    # The tags are written signed or not, whatever the pixels are: compared as bits of a word, they are the same.
    bits = words.dtype.itemsize * 8
    low, high = sorted(_as_pixel(value, bits, words.dtype.kind == "i") for value in (first, second))
    padding = words == low if low == high else (words >= low) & (words <= high)
    if not padding.any():
        return None
    if padding.all():
        raise InputError("the DICOM file's pixels are all padding (PixelPaddingValue); correct or remove that tag")
    return padding


def film_bits(header: Dataset, words: np.ndarray, stream_depth: int | None) -> tuple[np.ndarray, int, bool]:
    """The film's values, how many bits they take, and whether others were taken off them.

    Args:
        words: (rows, columns) as decoded, all their bits; padding among them is within BitsStored.
        stream_depth: bits of a pixel as a compressed stream says.

    Raises:
        InputError: the film's own values go beyond BitsStored.
    """
    depth, signed = int(header.BitsStored), words.dtype.kind == "i"
    low, high = stored_range(depth, signed)
    if low <= int(words.min()) and int(words.max()) <= high:
        return words, depth, False
    shift = words.dtype.itemsize * 8 - depth
    masked = (words << shift) >> shift
    above = words.astype(np.int32) - masked.astype(np.int32)
    if _roughness(masked, above) <= _roughness(words, above):
        return masked, depth, True
    if stream_depth is not None and depth < stream_depth <= 16:  # the stream knows how deep it is
        return words, stream_depth, False
    raise InputError(
        f"the DICOM file's pixels go beyond the {depth} bits that it says they have (BitsStored); export it again"
    )


def _roughness(values: np.ndarray, above: np.ndarray) -> float:
    """Sum of differences between neighbouring pixels, where the bits above BitsStored differ as well.

    A film is smooth and an overlay has edges, so the right one of two readings is the smoother one.

    Args:
        values: (rows, columns) one reading of the film.
        above: (rows, columns) int32, what the bits above BitsStored add to the values of those below.
    """
    total = 0.0
    for one, other in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):  # beside each other, below each other
        differs = above[one] != above[other]
        steps = np.abs(values[one].astype(np.int32) - values[other].astype(np.int32))
        total += float(steps[differs].sum())
    return total


def _value(header: Dataset, tag: str) -> int | None:
    """A tag as a whole number; None where it is missing or empty."""
    value = header.get(tag)
    if isinstance(value, bytes):  # of unknown representation
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    return None if value is None or value == "" else int(value)


def _as_pixel(value: int, bits: int, signed: bool) -> int:
    """What the lower ``bits`` of a number are as a pixel's value (in two's complement where ``signed``)."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value
