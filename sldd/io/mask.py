"""Organ masks: which pixels of a mask file are inside the organ.

Masks come in kinds that one threshold does not fit: two values of any size, label maps (0, 1, 2 for the lungs, or a
colour each), soft edges (drawn smooth, resized, or through JPEG), and the alpha channel of drawing programs. The kind
is told by the picture: a label covers an area, a soft edge is a line. What is neither is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ImageChops

from sldd.errors import InputError
from sldd.io.film import OrganMask, count_values
from sldd.io.radiograph import exists
from sldd.io.raster import Raster, deep_pixels, gray_pixels, open_raster

_NEAR = 8
"""Values within an eighth of the brightest of black or of it are JPEG's or a resize's, where others stand apart."""
_SMALL = 64
"""A mask that is nowhere brighter holds numbers of labels, which are told apart by ones."""
_MOST_LINES = 0.35
"""Share of a mask's pixels that have it on all four sides: of an organ nearly all, of thin lines a third."""
_MOST_SOFT = 0.25
"""Share of pixels that are neither dark nor bright: more is a picture. Edges of a mask are a few per cent."""


def read_organ(path: Path) -> OrganMask:
    """Read an organ mask by the rules of docs/reading.md.

    Raises:
        InputError: the file is missing, cannot be decoded, marks no organ, or does not say which pixels are the organ.
    """
    if not exists(path):
        raise InputError("the mask does not exist; put it there or correct its path")
    with open_raster(path, "mask") as raster:
        values, before = _values(raster)
    inside, marked = _two_values(values)
    if inside is None or before is not values:
        inside = organ(values) if inside is None else inside
        marked = int(np.count_nonzero(inside))
        changed = raster.changed + (() if np.array_equal(inside, before > before.max() // 2) else ("mask",))
    else:  # nearly all masks, and as ever
        changed = raster.changed
    return OrganMask(inside, changed, tuple(_oddities(inside, marked)))


def read_mask(path: Path) -> np.ndarray:
    """The pixels that ``read_organ`` reads: (height, width) bool, true inside the organ."""
    return read_organ(path).inside


def organ(values: np.ndarray) -> np.ndarray:
    """(height, width) bool, true inside the organ.

    Args:
        values: (height, width) uint8 or uint16.

    Raises:
        InputError: all is black, or the kind of mask cannot be told.
    """
    counts = count_values(values)
    levels = np.flatnonzero(counts)
    top = int(levels[-1])
    if top == 0:
        raise InputError("the mask is all black; draw the organ, or leave the manifest's mask empty")
    if len(levels) <= 2:
        return values == top
    return values > _threshold(values, counts, levels)


def _two_values(values: np.ndarray) -> tuple[np.ndarray | None, int]:
    """The organ in a mask of black and one other value, and its pixels; None where the mask is of another kind."""
    top = values.max()
    inside = values == top
    marked = int(np.count_nonzero(inside))
    return (inside, marked) if top and marked == np.count_nonzero(values) else (None, 0)


def _threshold(values: np.ndarray, counts: np.ndarray, levels: np.ndarray) -> int:
    """The brightest value outside the organ, in a mask of more than two values."""
    top, size = int(levels[-1]), values.size
    near = top // _NEAR if top >= _SMALL else 0
    areas = _areas(values)
    labels = [int(level) for level in areas if near < level < top - near]
    if not labels:
        faint = counts[[level for level in areas if 0 < level <= near]].sum() if near else 0
        if faint > size // 100 and len(levels) <= _SMALL // 8:
            raise InputError(
                "the mask has large areas of a value just above black beside bright ones; "
                "save it with 0 outside the organ and 255 inside"
            )
        if counts[near + 1 : top - near].sum() > _MOST_SOFT * size:
            raise InputError(
                "the mask is a picture of many gray values; name the mask, 0 outside the organ, 255 inside"
            )
        return top // 2 if near else 0
    if levels[0] != 0 or 0 not in areas:
        raise InputError("the mask has three values or more and none is black; save it with 0 outside the organ")
    lowest = int(areas[areas > 0][0])
    edges = size - int(counts[areas].sum())
    if len(areas) > _SMALL or edges > size // 10:
        raise InputError("the mask is a picture of many gray values; name the mask, 0 outside the organ, 255 inside")
    return lowest // 2 if edges and top >= _SMALL else 0


def _areas(values: np.ndarray) -> np.ndarray:
    """The values, rising, that cover areas: some pixels of which have all their four neighbours of the same value."""
    middle = values[1:-1, 1:-1]
    flat = (middle == values[:-2, 1:-1]) & (middle == values[2:, 1:-1])
    flat &= (middle == values[1:-1, :-2]) & (middle == values[1:-1, 2:])
    found = count_values(middle[flat])
    return np.flatnonzero(found >= max(4, values.size // 10_000))


def _values(raster: Raster) -> tuple[np.ndarray, np.ndarray]:
    """(height, width) values that are 0 outside, and those that ``DECODING`` 1 compared with half of their highest."""
    if raster.deep:
        values = deep_pixels(raster, "mask")
        return values, values
    image = raster.image
    before = gray_pixels(raster)
    # Labels may be colours, of which some are dark: what is not black is inside.
    values = before
    if image.mode not in ("1", "L", "LA"):
        red, green, blue = image.convert("RGB").split()
        values = np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue))
    if raster.alpha is None:
        return values, before
    seen = values[raster.alpha > 0]
    if not seen.size:
        raise InputError("the mask is transparent everywhere; save it with 0 outside the organ and 255 inside")
    if seen.min() == seen.max():
        return raster.alpha, before  # one colour, so it is the alpha channel that draws the organ
    return (values.astype(np.uint16) * raster.alpha // 255).astype(np.uint8), before


def _oddities(inside: np.ndarray, marked: int) -> list[str]:
    share = marked / inside.size
    if share == 1:
        return ["the mask marks the whole film"]
    rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    if share > 0.5 and rim.mean() > 0.95:
        return ["the mask marks the rim and most of the film; is it inverted?"]
    if share < 0.001:
        return ["the mask marks less than a thousandth of the film"]
    step = max(4, len(inside) // 128)  # a sample: masks are as large as films
    rows = inside[1:-1:step]
    within = rows[:, 1:-1] & rows[:, 2:] & rows[:, :-2] & inside[:-2:step, 1:-1] & inside[2::step, 1:-1]
    if np.count_nonzero(within) < _MOST_LINES * np.count_nonzero(rows):
        return ["the mask is thin lines; does it outline the organ and not fill it?"]
    return []
