"""PNG, JPEG and TIFF files: one picture, upright, bright as bright at every depth.

The rules are in docs/reading.md. What Pillow does to some kinds of file and not to others is done to all here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin

from sldd.errors import InputError
from sldd.io.film import MAX_PIXELS, ChannelsError

_FORMATS = ("PNG", "JPEG", "TIFF")
_STRIP = 256
_ORIENTATION = int(ExifTags.Base.Orientation)
_SAYING = {"exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp"}
"""Where a JPEG or PNG file may say its orientation."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_COLOUR = {"RGB", "RGBA", "RGBX", "YCbCr"}
_MODES = {"1", "L", "LA", "P", "PA", "I", "F"} | _COLOUR
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO, _SAMPLE_FORMAT, _SIGNED = 258, 262, 0, 339, 2


@dataclass(frozen=True)
class Raster:
    """A loaded picture, upright; its alpha channel hides nothing or is ``alpha``."""

    image: Image.Image
    alpha: np.ndarray | None
    """(height, width) uint8, 0 where hidden; None where all is opaque."""
    inverted: int
    """Highest value of deep pixels that are stored with zero as white; 0 for others, whom Pillow turns itself."""
    changed: tuple[str, ...]
    """As of ``Radiograph``."""

    @property
    def deep(self) -> bool:
        """More than 8 bits a pixel."""
        return self.image.mode.startswith("I") or self.image.mode == "F"


@contextmanager
def open_raster(path: Path, what: str, channels: int = 1) -> Iterator[Raster]:
    """Open and load a picture.

    Args:
        what: "image" or "mask", as messages call it.
        channels: 3 where it has to be in colour; 1 where it is read as gray.

    Raises:
        InputError: it cannot be decoded, or is not one picture of so many channels whose pixels mean one thing. Raised
            too for any error within the block.
    """
    try:
        # Warnings may quote the file. Formats: Pillow has forty more, one of which (EPS) runs a program on the file.
        # An open file and not its name: that one Pillow maps, and scrambles where a TIFF's pixels lie on their side.
        with (
            warnings.catch_warnings(action="ignore"),
            path.open("rb") as file,
            Image.open(file, formats=_FORMATS) as image,
        ):
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"the {what} has {image.width} x {image.height} pixels; {MAX_PIXELS:,} are too many")
            _check_pages(image, what)
            (_check_mode if channels == 1 else _check_colour)(image, what)
            inverted = _inverted(image, what)
            scrambled = _was_scrambled(image)
            image.load()
            upright, turned = _turn(image)
            yield Raster(
                upright,
                _alpha(upright),
                inverted,
                ("orientation",) * (turned or scrambled) + ("zero is white",) * bool(inverted),
            )
    except InputError:
        raise
    except Exception as error:  # Pillow's plugins raise a wide range
        # Its own message names the file, and files are named after patients.
        raise InputError(
            f"the {what} cannot be read ({type(error).__name__}); it should be a whole PNG, JPEG or TIFF file"
            + (", or DICOM" if what == "image" else "")
        ) from None


def gray_pixels(raster: Raster) -> np.ndarray:
    """(height, width) uint8 of up to 8 bit."""
    image = raster.image
    return np.asarray(image if image.mode == "L" else image.convert("L"))  # gray ones would be copied twice


def colour_pixels(raster: Raster) -> np.ndarray:
    """(height, width, 3) uint8: red, green, blue.

    Raises:
        InputError: an alpha channel hides something.
    """
    if raster.alpha is not None:
        raise InputError(
            "the image is transparent somewhere, so that viewers differ on what it shows; save it without an alpha "
            "channel"
        )
    return np.asarray(raster.image.convert("RGB"))


def deep_pixels(raster: Raster, what: str) -> np.ndarray:
    """(height, width) uint16 of more than 8 bit, by strips: whole, 32-bit ones are copied several times."""
    image = raster.image
    pixels = np.empty((image.height, image.width), np.uint16)
    for top in range(0, image.height, _STRIP):
        bottom = min(top + _STRIP, image.height)
        values = np.asarray(image.crop((0, top, image.width, bottom)))
        inside = values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max  # nor is NaN
        if inside:
            pixels[top:bottom] = values
        if not inside or np.any(pixels[top:bottom] != values):
            raise InputError(f"the {what} holds values outside 0..65535; save it as 8 to 16 bit gray scale")
    return np.subtract(raster.inverted, pixels, dtype=np.uint16) if raster.inverted else pixels


def _check_pages(image: Image.Image, what: str) -> None:
    try:
        image.seek(1)
    except EOFError:
        image.seek(0)
        return
    raise InputError(f"the {what} file holds several pages or frames; save the one that is meant as a file of its own")


def _check_mode(image: Image.Image, what: str) -> None:
    mode = image.mode
    if mode not in _MODES and not mode.startswith("I;16"):
        raise InputError(f"the {what} is {mode}, no gray scale; save it as 8 or 16 bit gray scale")
    if mode in ("RGB", "RGBA", "RGBX", "LA", "PA") and _depth(image) > 8:
        # Pillow would keep the upper 8 of the 16 bits.
        raise InputError(f"the {what} has 16 bits in each of several channels; save it as 16 bit gray scale")
    if mode == "L" and isinstance(image, TiffImagePlugin.TiffImageFile):
        kinds = image.tag_v2.get(_SAMPLE_FORMAT, ())
        if _SIGNED in (kinds if isinstance(kinds, tuple) else (kinds,)):
            # Pillow would take -1 for 255.
            raise InputError(f"the {what} holds signed values of 8 bits; save it as 8 or 16 bit gray scale from 0 up")


def _check_colour(image: Image.Image, what: str) -> None:
    mode = image.mode
    if mode in ("P", "PA"):
        raise InputError(f"the {what} has a palette; save it as RGB of 8 bit")
    if mode not in _COLOUR:
        if mode in _MODES or mode.startswith("I;16"):
            raise ChannelsError(f"the {what} is gray")
        raise InputError(f"the {what} is {mode}; save it as RGB of 8 bit")
    if _depth(image) > 8:
        raise InputError(f"the {what} has 16 bits in each of several channels; save it as RGB of 8 bit")


def _depth(image: Image.Image) -> int:
    """Bits of a channel in the file, where Pillow reads some as 8 bit."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        raw = image.tile[0][3] if image.tile else ""
        return 16 if ";16" in str(raw) else 8
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(_BITS, (8,))
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    return 8


def _inverted(image: Image.Image, what: str) -> int:
    """See ``Raster``; Pillow inverts TIFF files of up to 8 bits whose zero is white, and no deeper ones."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not (image.mode.startswith("I") or image.mode == "F"):
        return 0
    if image.tag_v2.get(_PHOTOMETRIC) != _WHITE_IS_ZERO:
        return 0
    if not image.mode.startswith("I;16"):
        raise InputError(
            f"the {what} has zero as white (MINISWHITE) in pixels that have no greatest value; "
            "save it as 8 or 16 bit gray scale"
        )
    return (1 << _depth(image)) - 1


def _was_scrambled(image: Image.Image) -> bool:
    """Whether ``DECODING`` 1 took rows for columns: see ``open_raster``."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.tag_v2.get(_ORIENTATION) not in (5, 6, 7, 8):
        return False
    return len(image.tile) == 1 and image.tile[0][0] == "raw" and image.width != image.height


def _turn(image: Image.Image) -> tuple[Image.Image, bool]:
    """The picture as its orientation tag says, and whether that was done here: of TIFF files Pillow does it itself."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) or _SAYING.isdisjoint(image.info):
        return image, False
    try:
        method = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # what cannot be read says nothing, and the picture is there
        method = None
    if method is None:
        return image, False
    return image.transpose(method), True


def _alpha(image: Image.Image) -> np.ndarray | None:
    if image.mode in ("RGBA", "LA", "PA"):
        alpha = image.getchannel("A")
    elif image.mode in ("L", "RGB", "P") and image.info.get("transparency") is not None:
        alpha = image.convert("RGBA").getchannel("A")
    else:
        return None
    return None if alpha.getextrema()[0] == 255 else np.asarray(alpha)
