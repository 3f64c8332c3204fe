"""Encoding of distilled images as float32, float16 or 8 bit; every reader gets the same values, bit for bit.

8 bit: a value is ``low + step * q`` with q in 0..255, and ``low`` and ``step`` of each image's own. ``step`` is a
power of two and ``low`` a multiple of it, so that no reader has anything to round, and encoding again changes nothing;
that costs up to one of the eight bits.
"""

from __future__ import annotations

import numpy as np

from sldd.errors import InputError
from sldd.package.format.container import Tensors
from sldd.package.format.header import Images, Stored

_LEVELS = 255
"""Most steps from an image's lowest to its highest value."""
_SMALLEST = 2.0**-80
"""Least magnitude that a step is made for: an image of zeros gets one, too, and it is a normal float32."""
IMAGES, LOW, STEP = "images", "images_low", "images_step"


def encode(images: np.ndarray, how: Images) -> Tensors:
    """Tensors of the file for images (S, M, channels, h, w) float32.

    Raises:
        InputError: the images have values that this cannot hold.
    """
    if how == "float32":
        return {IMAGES: images.astype("<f4")}
    if how == "float16":
        if np.abs(images).max() > np.finfo(np.float16).max:
            raise InputError("package.images: these have values beyond those of float16; use float32")
        return {IMAGES: images.astype("<f2")}
    return _encode_8_bit(images)


def decode(tensors: Tensors, how: Images) -> np.ndarray:
    """Images (S, M, channels, h, w) float32 from the tensors of a file, which are checked to be those of ``how``.

    Raises:
        InputError: they are not.
    """
    images = tensors[IMAGES]
    if images.dtype != np.dtype(how):
        raise InputError(f"its images are {images.dtype} and its facts say {how}")
    if how != "uint8":
        return images.astype(np.float32)
    if images.ndim != 5:
        raise InputError(f"its images have {images.ndim} dimensions, not 5")
    low, step = tensors[LOW], tensors[STEP]
    expected = (*images.shape[:2], 1, 1, 1)
    if low.shape != expected or step.shape != expected or low.dtype != np.float32 or step.dtype != np.float32:
        raise InputError("its images have no low and step each")
    with np.errstate(all="ignore"):  # what overflows is found as not finite
        return low + step * images.astype(np.float32)


def stored(images: np.ndarray, how: Images) -> tuple[np.ndarray, Stored]:
    """The images as a receiver decodes them, and the encoding's error."""
    received = decode(encode(images, how), how)
    change = np.abs(received.astype(np.float64) - images)
    return received, Stored(how, float(change.max()), float(np.sqrt((change**2).mean())))


def names(how: Images) -> set[str]:
    """Names of the tensors that hold the images."""
    return {IMAGES, LOW, STEP} if how == "uint8" else {IMAGES}


def _encode_8_bit(images: np.ndarray) -> Tensors:
    """Images as ``low + step * q``: of each image the least power of two as ``step`` under which q fits in 0..255."""
    wide = images.astype(np.float64)
    low = wide.min(axis=(2, 3, 4), keepdims=True)
    high = wide.max(axis=(2, 3, 4), keepdims=True)
    # No finer than float32 resolves values of this size: low, a multiple of the step, is then exact in float32. It is
    # also what gives an image of one gray value a step.
    finest = np.maximum(np.maximum(np.abs(low), np.abs(high)), _SMALLEST) * 2.0**-22
    step = np.exp2(np.ceil(np.log2(np.maximum((high - low) / _LEVELS, finest))))
    # Both ends are rounded to multiples of the step, which may put them one step farther apart than there are levels.
    step = np.where(np.rint(high / step) - np.rint(low / step) > _LEVELS, 2 * step, step)
    first = np.rint(low / step)
    levels = np.rint(wide / step) - first
    return {
        IMAGES: levels.astype(np.uint8),
        LOW: (first * step).astype("<f4"),
        STEP: step.astype("<f4"),
    }
