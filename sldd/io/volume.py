"""Arrays of numbers as films: a volume's slice, and the gray of values for which no viewer has a rule.

What a value becomes follows from its type and never from the other values of its film, so that it is the same in every
film of a cohort. Of floats alone the range counts, and a film of the other range has another depth, which is refused
beside the first.
"""

from __future__ import annotations

import numpy as np

from sldd.errors import InputError
from sldd.io.film import MAX_PIXELS, ChannelsError, Radiograph, VolumeError, slice_number

MOST_BYTES = 2**30
"""Of a volume: 2,000 slices of 512 x 512 in 16 bits."""
SMALL = 64 * 2**20
"""Bytes that a file may take in memory, however few it has itself."""
_MOST_RATIO = 100
"""Bytes that a larger array may take in memory for each byte in its file; images compress to a half or a third."""
_LIFT = 2**15
"""Added to whole numbers that are signed or wide, so that Hounsfield units become uint16."""
_FEWEST_STEPS = 255
"""Range from which on floats that are not whole are rounded; a smaller one would lose gray levels."""
_WHITE = np.iinfo(np.uint16).max


def check_growth(claimed: int, stored: int, what: str, small: int = SMALL) -> None:
    """Raise an InputError where a header asks for far more bytes than its file has compressed.

    Args:
        what: the file is called, with its article.
        small: bytes that a file may take in memory whatever it has compressed.
    """
    if claimed > max(small, _MOST_RATIO * stored):
        raise InputError(f"{what} would grow a hundredfold, which no images do; get it again")


def check_bytes(claimed: int, what: str) -> None:
    """Raise an InputError where the values of a file take more than ``MOST_BYTES``."""
    if claimed > MOST_BYTES:
        raise InputError(f"{what} says that its values take {claimed:,} bytes, and {MOST_BYTES:,} are read")


def chosen(place: float | None, count: int, what: str) -> int:
    """The number of the slice at ``place`` of ``count``, from 0.

    Raises:
        VolumeError: there are several, and no place is given.
    """
    if count > 1 and place is None:
        raise VolumeError(
            f"{what} is a volume of {count} slices; save the one that is meant, or of images of one class each "
            "let data.slice choose (0.5: the middle one)"
        )
    return slice_number(place or 0.0, count)


def check_size(height: int, width: int, what: str) -> None:
    """Raise an InputError where a film of this size is not read."""
    if not 0 < height * width <= MAX_PIXELS:
        raise InputError(f"{what} has {width} x {height} pixels, and 1 to {MAX_PIXELS:,} are read")


def film_of(
    values: np.ndarray,
    channels: int,
    what: str,
    number: int = 0,
    count: int = 1,
    window: tuple[float, float] | None = None,
) -> Radiograph:
    """The film that an array, or slice ``number`` of ``count``, is by the rules of docs/reading.md.

    Args:
        values: (height, width), or (height, width, 3) in colour.
        channels: of the film that is asked for.
        window: values of black and white, where the file says so.

    Raises:
        ChannelsError: it is gray, and colour is asked for.
        InputError: it is in colour and gray is asked for, or its values are no gray ones.
    """
    if values.ndim == 2 and channels > 1:
        raise ChannelsError(f"{what} is gray")
    if values.ndim > 2 and channels == 1:
        raise InputError(f"{what} is in colour; set data.channels=rgb, or save all of them in gray")
    if values.dtype.kind not in "iuf":
        kind = "values of 1 bit, as masks have" if values.dtype.kind == "b" else "no plain numbers"
        raise InputError(f"{what} holds {kind}; save whole numbers of 8 or 16 bit, or floats from 0 to 1")
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{what} holds values that are not finite (NaN); give such pixels a number")
    if count > 1 and low == high:
        raise InputError(f"slice {number + 1} of {count} of {what} is empty, one value all over; choose another")
    if window is not None:
        shown = np.clip((values.astype(np.float64) - window[0]) / (window[1] - window[0]), 0, 1)
        return Radiograph(np.rint(_WHITE * shown).astype(np.uint16), as_shown=True)
    return Radiograph(_gray(values, float(low), float(high), what))


def _gray(values: np.ndarray, low: float, high: float, what: str) -> np.ndarray:
    """Values as uint8 or uint16, by their type: as they are, floats from 0 to 1 times 255, and others plus ``_LIFT``.

    Args:
        low, high: the least and the greatest value.
    """
    if values.dtype == np.uint8 or (values.dtype.kind == "u" and values.dtype.itemsize == 2 and values.ndim == 2):
        return values.astype(f"u{values.dtype.itemsize}")
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.rint(255 * values.astype(np.float64)).astype(np.uint8)
    if values.ndim > 2:
        raise InputError(f"{what} is in colour of another type than uint8 or floats from 0 to 1; save it so")
    whole = np.rint(values)
    if values.dtype.kind == "f" and high - low < _FEWEST_STEPS and np.any(whole != values):
        raise InputError(
            f"{what} holds floats from {low:g} to {high:g}, which have no gray scale that is alike in all files; "
            "save whole numbers of 8 or 16 bit, or floats from 0 to 1"
        )
    if low < -_LIFT or high >= _LIFT:
        raise InputError(
            f"{what} holds {values.dtype.name} values from {low:g} to {high:g}, and -32,768 to 32,767 are read; "
            "save them as uint16 or int16"
        )
    return (whole.astype(np.int64) + _LIFT).astype(np.uint16)
