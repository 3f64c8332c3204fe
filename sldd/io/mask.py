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
"""A value within an eighth of the brightest of black, or of the brightest itself, is taken for that: JPEG and resizing
make such values. Labels lie further from both."""
_NUMBERED = 64
"""Where the brightest value is below this, values are numbers of labels (0, 1, 2), and each may be a label."""
_MOST_LABELS = 64
_FEW_LEVELS = 8
"""Where a mask has no more values, an area just above black may be a label: JPEG and resizing make more of them."""
_MOST_LINES = 0.35
"""Share of organ pixels whose four neighbours are organ too: nearly all of a filled one, a third of thin lines."""
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
    as_ever = inside is not None and before is values  # nearly all masks; of them the comparison below is spared
    if inside is None:
        inside = organ(values)
        marked = int(np.count_nonzero(inside))
    changed = raster.changed
    if not as_ever and not np.array_equal(inside, before > before.max() // 2):
        changed += ("mask",)
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
    """The organ in a mask of black and one other value, and how many pixels it has; (None, 0) for other masks."""
    top = values.max()
    inside = values == top
    marked = int(np.count_nonzero(inside))
    return (inside, marked) if top and marked == np.count_nonzero(values) else (None, 0)


def _threshold(values: np.ndarray, counts: np.ndarray, levels: np.ndarray) -> int:
    """The brightest value outside the organ, in a mask of more than two values.

    A mask whose areas have values between black and the brightest holds labels, any other has soft edges.

    Args:
        values: (height, width) uint8 or uint16.
        counts: how many pixels have each value, from 0 up.
        levels: the values that there are, rising.
    """
    top = int(levels[-1])
    near = top // _NEAR if top >= _NUMBERED else 0
    areas = _areas(values)
    if any(near < level < top - near for level in areas):
        return _below_labels(values.size, counts, levels, areas)
    return _soft_threshold(values.size, counts, levels, areas, near)


def _soft_threshold(size: int, counts: np.ndarray, levels: np.ndarray, areas: np.ndarray, near: int) -> int:
    """``_threshold`` of a mask with soft edges: half of its brightest value; 0 where that is below ``_NUMBERED``.

    Raises:
        InputError: an area just above black may be a label or a left-over of JPEG, or the mask is a picture.
    """
    top = int(levels[-1])
    faint = counts[[level for level in areas if 0 < level <= near]].sum() if near else 0
    if faint > size // 100 and len(levels) <= _FEW_LEVELS:
        raise InputError(
            "the mask has large areas of a value just above black beside bright ones; "
            "save it with 0 outside the organ and 255 inside"
        )
    if counts[near + 1 : top - near].sum() > _MOST_SOFT * size:
        raise _picture()
    return top // 2 if near else 0


def _below_labels(size: int, counts: np.ndarray, levels: np.ndarray, areas: np.ndarray) -> int:
    """``_threshold`` of a mask of labels, all of which are organ: 0, or half of the darkest label where edges are soft.

    Raises:
        InputError: no area is black, or the mask is a picture.
    """
    if levels[0] != 0 or 0 not in areas:
        raise InputError("the mask has three values or more and none is black; save it with 0 outside the organ")
    darkest = int(areas[areas > 0][0])
    edges = size - int(counts[areas].sum())
    if len(areas) > _MOST_LABELS or edges > size // 10:
        raise _picture()
    return darkest // 2 if edges and levels[-1] >= _NUMBERED else 0


def _picture() -> InputError:
    return InputError("the mask is a picture of many gray values; name the mask, 0 outside the organ, 255 inside")


def _areas(values: np.ndarray) -> np.ndarray:
    """The values, rising, that cover areas: some pixels of which have all their four neighbours of the same value."""
    middle = values[1:-1, 1:-1]
    flat = (middle == values[:-2, 1:-1]) & (middle == values[2:, 1:-1])
    flat &= (middle == values[1:-1, :-2]) & (middle == values[1:-1, 2:])
    found = count_values(middle[flat])
    return np.flatnonzero(found >= max(4, values.size // 10_000))


def _values(raster: Raster) -> tuple[np.ndarray, np.ndarray]:
    """Two readings of a mask, (height, width) each, which may be the same array.

    The first is 0 outside the organ; the second is what ``DECODING`` 1 compared with half of its highest value.
    """
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
    """What looks wrong with an organ of ``marked`` pixels, as a reader's notes; one at most."""
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
    # Pixels of these rows that are organ, and whose neighbours to the right and left, above and below are.
    within = rows[:, 1:-1] & rows[:, 2:] & rows[:, :-2] & inside[:-2:step, 1:-1] & inside[2::step, 1:-1]
    if np.count_nonzero(within) < _MOST_LINES * np.count_nonzero(rows):
        return ["the mask is thin lines; does it outline the organ and not fill it?"]
    return []
