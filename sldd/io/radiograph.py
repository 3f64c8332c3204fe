"""Read one radiograph. Nothing of a patient leaves this file but pixels: no header field, no file name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from sldd.errors import InputError
from sldd.io.dicom import DICOM_DECODING, MAX_PIXELS, is_dicom, read_dicom
from sldd.io.film import file_digest

DECODING = 1
"""Part of a cohort's fingerprint. Raise it whenever the same file would give other pixels than before."""

_FORMATS = ("PNG", "JPEG", "TIFF")
_STRIP = 256


def read_radiograph(path: Path) -> np.ndarray:
    """Read a PNG, JPEG, TIFF or DICOM radiograph of 8 to 16 bit.

    Returns:
        (height, width), uint16 for DICOM files, for others uint8 where they have 8 bits and uint16 where more; bright
        means attenuating for DICOM files, whatever their photometric interpretation, and is as stored for the others.

    Raises:
        InputError: the file is missing, cannot be decoded, or holds no single gray-scale image.
    """
    if not exists(path):
        raise InputError("the image does not exist; put it there or correct its path")
    try:
        dicom = is_dicom(path)
    except OSError as error:
        raise InputError(f"the image cannot be read ({error.strerror})") from None
    return read_dicom(path) if dicom else _read_raster(path, "image")


def radiograph_digest(path: Path) -> str:
    """SHA-256 of a file's content, and for DICOM files the version of what reads them."""
    digest = file_digest(path)
    try:
        return f"{digest}-dicom{DICOM_DECODING}" if exists(path) and is_dicom(path) else digest
    except OSError:
        return digest  # ``read_radiograph`` will say


def read_mask(path: Path) -> np.ndarray:
    """Read an organ mask: (height, width) bool, true where the file is brighter than half its brightest value.

    Raises:
        InputError: the file is missing, cannot be decoded, or marks no organ.
    """
    if not exists(path):
        raise InputError("the mask does not exist; put it there or correct its path")
    values = _read_raster(path, "mask")
    if not values.any():
        raise InputError("the mask is all black; draw the organ, or leave the manifest's mask empty")
    return values > values.max() // 2


def exists(path: Path) -> bool:
    """Whether there is such a file that may be seen."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a folder that may not be searched, a name that is none
        return False


def _read_raster(path: Path, what: str) -> np.ndarray:
    try:
        # Warnings may quote the file. Formats: Pillow has forty more, one of which (EPS) runs a program on the file.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"the {what} has {image.width} x {image.height} pixels; {MAX_PIXELS:,} are too many")
            image.load()
            if image.mode.startswith("I") or image.mode == "F":
                return _deep(image, what)
            return np.asarray(image.convert("L"))
    except InputError:
        raise
    except Exception as error:  # Pillow's plugins raise a wide range
        # Its own message names the file, and files are named after patients.
        raise InputError(
            f"the {what} cannot be read ({type(error).__name__}); it should be a whole PNG, JPEG or TIFF file"
            + (", or DICOM" if what == "image" else "")
        ) from None


def _deep(image: Image.Image, what: str) -> np.ndarray:
    """The pixels of a loaded image of more than 8 bit, by strips: whole, 32-bit ones are copied several times."""
    pixels = np.empty((image.height, image.width), np.uint16)
    for top in range(0, image.height, _STRIP):
        bottom = min(top + _STRIP, image.height)
        values = np.asarray(image.crop((0, top, image.width, bottom)))
        inside = values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max  # nor is NaN
        if inside:
            pixels[top:bottom] = values
        if not inside or np.any(pixels[top:bottom] != values):
            raise InputError(f"the {what} holds values outside 0..65535; save it as 8 to 16 bit gray scale")
    return pixels
