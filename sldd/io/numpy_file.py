"""NumPy files: an image or a volume in ``.npy``, or alone in ``.npz``. Nothing is ever unpickled.

(height, width) is gray, (height, width, 3) in colour, (slices, height, width) a volume, whose slices are cut along the
first axis, and (slices, height, width, 3) one in colour. The first row is on top, the first column on the left.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from sldd.errors import InputError
from sldd.io.film import Radiograph
from sldd.io.volume import SMALL, check_bytes, check_growth, check_size, chosen, film_of

ENDINGS = (".npy", ".npz")
_WHAT = "the NumPy file"
_CHANNELS = (3, 4)
"""Of an image in colour, without or with an opacity: (3, height, width) and (height, width, 4) look like volumes."""


def read_numpy(path: Path, channels: int = 1, place: float | None = None) -> Radiograph:
    """Read one image, or a slice of a volume.

    Args:
        channels, place: as of ``sldd.io.radiograph.read_film``.

    Raises:
        InputError: as there.
    """
    try:
        values = _mapped(path) if path.name.lower().endswith(".npy") else _only(path)
        return _film(values, channels, place)
    except InputError:
        raise
    except Exception as error:  # a header is parsed as Python: errors of all kinds
        raise InputError(
            f"{_WHAT} cannot be read ({type(error).__name__}); it is damaged, or holds objects: save it again"
        ) from None


def read_member(archive: zipfile.ZipFile, name: str, what: str, small: int = SMALL) -> np.ndarray:
    """One array of an archive, once its header and the archive's agree on a size that such a file can have.

    Args:
        what: the archive is called, with its article.
        small: as of ``check_growth``.

    Raises:
        KeyError: there is none of that name.
        InputError: it would take too much memory.
        Exception: of any kind where it is no such array.
    """
    told = archive.getinfo(name)
    check_growth(told.file_size, told.compress_size, what, small)
    with archive.open(told) as member:
        _read_shape(member, told.file_size)
    with archive.open(told) as member:
        values: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
    return values


def _read_shape(file: IO[bytes], size: int) -> tuple[int, ...]:
    """The shape in an array's header; ValueError where it and the ``size`` of the whole do not agree."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("of a version of the format that nobody needed")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError("of another size than it says")
    return tuple(shape)


def _mapped(path: Path) -> np.ndarray:
    """The array of a file, whose values are read as they are asked for."""
    with path.open("rb") as file:
        shape = _read_shape(file, path.stat().st_size)
    if 0 in shape:  # which cannot be mapped
        return np.empty(shape)
    values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return values


def _only(path: Path) -> np.ndarray:
    """The only array of an archive."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise InputError(f"the .npz file holds {len(names)} arrays; save the one that is meant as .npy")
        check_bytes(archive.getinfo(names[0]).file_size, "the .npz file")
        return read_member(archive, names[0], "the .npz file")


def _film(values: np.ndarray, channels: int, place: float | None) -> Radiograph:
    """The film that an array is, or the slice of a volume at ``place``; see the module for shapes."""
    if 0 in values.shape:
        raise InputError(f"{_WHAT} is empty; save it again")
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if place is not None and values.ndim == 3 and (values.shape[2] == 4 or values.shape[0] in _CHANNELS):
        raise InputError(
            f"{_WHAT} is {' x '.join(map(str, values.shape))}: an image of {' or '.join(map(str, _CHANNELS))} channels "
            "looks so, and is no volume; save it as height x width x 3, and of a volume of so few slices the one that "
            "is meant"
        )
    in_colour = values.shape[-1:] == (3,)
    number, count = 0, 1
    if values.ndim == (4 if in_colour else 3):
        count = len(values)
        number = chosen(place, count, _WHAT)
        values = values[number]
    if values.ndim not in (2, 3) or values.shape[2:] not in ((), (3,)):
        shape = " x ".join(map(str, values.shape)) or "a single value"
        raise InputError(f"{_WHAT} is {shape}; an image is height x width, in colour x 3, a volume slices x these")
    check_size(values.shape[0], values.shape[1], _WHAT)
    return film_of(np.asarray(values), channels, _WHAT, number, count)
