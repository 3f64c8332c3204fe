"""NIfTI files (``.nii``, ``.nii.gz``): an axial slice, as a radiologist looks at it.

Whatever order a file has, its axes are those of nibabel's ``as_closest_canonical``: right, anterior, superior. Slices
are cut along the last one, from the lowest to the highest; in a slice the front is on top and the patient's left is on
the right, as in axial slices of DICOM. Voxels are taken as they are: neither tilt nor their size is corrected.
"""

from __future__ import annotations

import gzip
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sldd.errors import InputError
from sldd.io.film import Radiograph
from sldd.io.silence import silence
from sldd.io.volume import check_bytes, check_growth, check_size, chosen, film_of

if TYPE_CHECKING:
    from nibabel import Nifti1Image

ENDINGS = (".nii", ".nii.gz")
_WHAT = "the NIfTI file"
_RIGHT, _ANTERIOR, _SUPERIOR = range(3)
"""Axes of the body, as nibabel numbers them."""
_AT_A_TIME = 2**20
_FARTHEST = 16 * 2**20
"""Bytes before the values: the header, and whatever programs put behind it."""


def read_nifti(path: Path, channels: int = 1, place: float | None = None) -> Radiograph:
    """Read one axial slice of a volume, or the only one.

    Args:
        channels, place: as of ``sldd.io.radiograph.read_film``.

    Raises:
        InputError: as there, or nibabel is not installed.
    """
    with silence():
        try:
            return _slice(_opened(path), path, channels, place)
        except InputError:
            raise
        except ImportError:
            raise InputError(
                f"{_WHAT} cannot be read without nibabel, which is not installed; pip install 'sldd-study[nifti]'"
            ) from None
        except Exception as error:
            raise InputError(
                f"{_WHAT} cannot be read ({type(error).__name__}); it is damaged or none: copy it again"
            ) from None


def _opened(path: Path) -> Nifti1Image:
    """The volume, by its header alone.

    Its extensions are not read: nibabel would make room for what they say of their sizes, of a small compressed file
    gigabytes, before anything is compared with a limit.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    kinds = (nibabel.Nifti1Image, nibabel.Nifti2Image)
    with gzip.open(path) if _compressed(path) else path.open("rb") as file:
        head = file.read(max(kind.header_class.sizeof_hdr for kind in kinds))
    for kind in kinds:
        if kind.header_class.may_contain_header(head):
            bare = head[: kind.header_class.sizeof_hdr] + bytes(4)  # which say that there are no extensions
            header = kind.header_class.from_fileobj(io.BytesIO(bare))
            return kind(kind.ImageArrayProxy(str(path), header.copy()), None, header)
    raise ImageFileError


def _compressed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _slice(image: Nifti1Image, path: Path, channels: int, place: float | None) -> Radiograph:
    """The axial slice at ``place``, turned as the module says; ``place`` counts slices from the lowest."""
    _check(image, path)
    shape = (*image.shape, 1, 1)[:3]
    (right, anterior, superior), signs = _axes(image)
    width, height, slices = shape[right], shape[anterior], shape[superior]
    if min(height, width) == 1:
        raise InputError(f"{_WHAT} has axial slices of {width} x {height} pixels; save the slice that is meant as .npy")
    check_size(height, width, _WHAT)
    number = chosen(place, slices, _WHAT)
    values = _plane(image, superior, number if signs[superior] > 0 else slices - 1 - number)
    values = values.reshape(width, height).T if right < anterior else values.reshape(height, width)
    values = values[:: -signs[anterior], :: -signs[right]]  # rows lead to the back, columns to the left
    native = values.astype(values.dtype.newbyteorder("="))
    return replace(film_of(native, channels, _WHAT, number, slices, _window(image)), notes=_notes(image))


def _axes(image: Nifti1Image) -> tuple[list[int], list[int]]:
    """Which axes of the file lead right, anterior and superior, and of each axis of the file its sign.

    A sign is 1 where the axis runs to that end of the body, -1 where it runs to the opposite one.

    Raises:
        InputError: the header does not say so.
    """
    from nibabel.orientations import io_orientation

    orientation = io_orientation(image.header.get_best_affine())  # (3, 2): of each axis the body's, and the sign
    if np.isnan(orientation).any():
        raise InputError(f"{_WHAT} does not say where its axes lead; save it again")
    body, signs = orientation.astype(int).T.tolist()
    return [body.index(axis) for axis in (_RIGHT, _ANTERIOR, _SUPERIOR)], signs


def _plane(image: Nifti1Image, axis: int, at: int) -> np.ndarray:
    """The values at one place of an axis of the file; nothing else is read.

    The file may have fewer axes than three, or more of length 1 (``_check``).
    """
    axes = len(image.shape)
    index: list[Any] = [slice(None), slice(None), slice(None), *[0] * (axes - 3)]
    index[axis] = at
    return np.asarray(image.dataobj[tuple(index[:axes])])


def _check(image: Nifti1Image, path: Path) -> None:
    """Raise an InputError where a file is no volume of plain numbers, or not as large as its header says."""
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) < 2 or any(length != 1 for length in shape[3:]):
        raise InputError(
            f"{_WHAT} is {' x '.join(map(str, shape))}, and one volume is read; save the one that is meant"
        )
    if dtype.kind not in "iuf":
        raise InputError(f"{_WHAT} holds no plain numbers (complex ones, or colours); save it in gray")
    if 0 in shape:
        raise InputError(f"{_WHAT} is empty; save it again")
    values: Any = image.dataobj
    if int(values.offset) > _FARTHEST:
        raise InputError(
            f"{_WHAT} says that its values begin at byte {int(values.offset):,}, and {_FARTHEST:,} are allowed; "
            "save it again without extensions"
        )
    claimed, stored = math.prod(shape) * dtype.itemsize, path.stat().st_size
    check_bytes(claimed, _WHAT)
    needed, found = claimed + int(values.offset), stored
    if _compressed(path):
        check_growth(claimed, stored, _WHAT)
        found = _inflated(path, 2 * needed + _AT_A_TIME)
    if found < needed:
        raise InputError(f"{_WHAT} is cut off: it takes {needed:,} bytes and {found:,} are there; copy it again")


def _inflated(path: Path, most: int) -> int:
    """Bytes that a compressed file grows to, or more than ``most``; raises what ``gzip`` does where it is broken."""
    found = 0
    with gzip.open(path) as file:
        while found <= most and (part := len(file.read(_AT_A_TIME))):
            found += part
    return found


def _notes(image: Nifti1Image) -> tuple[str, ...]:
    if int(image.header["sform_code"]) or int(image.header["qform_code"]):
        return ()
    return ("its header does not say how it lies (sform, qform); its axes are taken for left, anterior, superior",)


def _window(image: Nifti1Image) -> tuple[float, float] | None:
    """Values of black and white, where the header has them (``cal_min``, ``cal_max``)."""
    low, high = (float(image.header[name]) for name in ("cal_min", "cal_max"))
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None
