"""Read one radiograph. Only pixels of a patient leave this module: no header field, no file name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sldd.errors import InputError
from sldd.io.dicom.reader import DICOM_DECODING, is_dicom, read_dicom
from sldd.io.film import HEAD, UNREADABLE, Radiograph, digest_and_head
from sldd.io.nifti import ENDINGS as NIFTI
from sldd.io.nifti import read_nifti
from sldd.io.numpy_file import ENDINGS as NUMPY
from sldd.io.numpy_file import read_numpy
from sldd.io.raster import Raster, colour_pixels, deep_pixels, gray_pixels, open_raster

DECODING = 1
"""Part of a cohort's fingerprint, as ``DICOM_DECODING`` is: the rules that ``Radiograph.changed`` departs from.

Neither is raised any more. A new rule marks the films whose pixels it changes, so that only their cohorts change.
"""

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COLOURED = 16
"""Gray values between the channels of a pixel that is no gray one; JPEG's own rounding makes a few."""


def read_film(path: Path, channels: int = 1, place: float | None = None) -> Radiograph:
    """Read a PNG, JPEG, TIFF, DICOM, NIfTI or NumPy radiograph of 8 to 16 bit, or such an image in colour of 8 bit.

    Args:
        channels: 1 for gray, as which colour is read as well (its brightness; not of DICOM files); 3 for colour.
        place: of a volume (a DICOM file of several frames, NIfTI, an array), the slice to read (``slice_number``); None
            refuses them.

    Returns:
        uint16 for DICOM files, for others uint8 where they have 8 bits and uint16 where more (of arrays and NIfTI see
        ``sldd.io.volume``); bright means attenuating for DICOM files, whatever their photometric interpretation, and
        what is shown as bright for the others.

    Raises:
        ChannelsError: the file is gray, and colour is asked for.
        VolumeError: it is a volume, and ``place`` is None.
        InputError: it is missing, cannot be decoded, or holds no single image of so many channels.
    """
    if not exists(path):
        raise InputError("the image does not exist; put it there or correct its path")
    try:
        with path.open("rb") as file:
            dicom = is_dicom(path, file.read(HEAD))
    except OSError as error:
        raise InputError(f"the image cannot be read ({error.strerror})") from None
    if dicom:
        return read_dicom(path, channels, place)
    name = path.name.lower()
    if name.endswith((*NIFTI, *NUMPY)):
        return (read_nifti if name.endswith(NIFTI) else read_numpy)(path, channels, place)
    with open_raster(path, "image", channels) as raster:
        return _film(raster) if channels == 1 else Radiograph(colour_pixels(raster), changed=raster.changed)


def read_radiograph(path: Path) -> np.ndarray:
    """The pixels that ``read_film`` reads, in gray: (height, width) uint8 or uint16."""
    return read_film(path).pixels


def radiograph_digest(path: Path) -> str:
    """SHA-256 of a file's content, and for DICOM files the version of what reads them."""
    digest, head = digest_and_head(path)
    return f"{digest}-dicom{DICOM_DECODING}" if digest != UNREADABLE and is_dicom(path, head) else digest


def exists(path: Path) -> bool:
    """Whether there is such a file that may be seen."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a folder that may not be searched, a name that is none
        return False


def is_film(path: Path) -> bool:
    """Whether a file is a PNG, JPEG, TIFF or DICOM file by its first bytes, whatever it is called."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        return head.startswith(_MAGIC) or is_dicom(path, head)
    except OSError:
        return False


def _film(raster: Raster) -> Radiograph:
    if raster.image.mode == "1":
        raise InputError("the image has 1 bit a pixel, as masks have; name the film itself, of 8 to 16 bit gray scale")
    if raster.deep:
        pixels = deep_pixels(raster, "image")
        hidden = raster.image.info.get("transparency")  # one gray value
        _check_hidden(pixels[pixels == hidden] if isinstance(hidden, int) else pixels[:0])
        return Radiograph(pixels, changed=raster.changed)
    pixels = gray_pixels(raster)
    if raster.alpha is not None:
        _check_hidden(pixels[raster.alpha < 255])
    coloured = _coloured(raster)
    notes = ("it is in colour, and read as its brightness; data.channels=rgb reads its colours",) if coloured else ()
    return Radiograph(pixels, changed=raster.changed, notes=notes, coloured=coloured)


def _check_hidden(pixels: np.ndarray) -> None:
    """Refuse a film of which an alpha channel hides more than black."""
    if pixels.any():
        raise InputError(
            "the image is transparent where it is not black, so that viewers differ on what it shows; "
            "save it without an alpha channel"
        )


def _coloured(raster: Raster) -> bool:
    """Whether more than a hundredth of the pixels are no gray ones, by a sample of them."""
    if raster.image.mode in ("L", "LA"):
        return False
    sample = raster.image.resize((64, 64), 0).convert("RGB")
    channels = np.asarray(sample).astype(np.int16)
    return bool((np.ptp(channels, axis=2) > _COLOURED).mean() > 0.01)
