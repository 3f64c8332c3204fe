"""MedMNIST source (Yang et al., Scientific Data 2023): ``.npz`` files of gray or colour images and labels.

The file names no patients, so every image is one; its own division into training, validation and test images, which is
by patient where the collections it was made from tell, is kept. Labels are several 0/1 columns (ChestMNIST), one column
of 0 and 1 (one class, present where the file says 1, or two where both are named), or one column of more values (a
class each).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sldd.errors import InputError
from sldd.io.film import SPLITS, Film, file_digest, slice_number
from sldd.io.label_table import plain
from sldd.io.numpy_file import read_member
from sldd.sources.labelled_films import SCALING, scale
from sldd.sources.medmnist_sets import classes_of, set_file

_PARTS = dict(zip(("train", "val", "test"), SPLITS, strict=True))
_MOST_CLASSES = 1000
_LARGEST_SHAPES = 2**29
"""Bytes of the largest sets of shapes (vessels, adrenal glands: two values, 64 x 64 x 64), which compress a lot."""


@dataclass(frozen=True)
class MedMnistSettings:
    """A MedMNIST file."""

    set: str | None = None
    """Name of one of the eighteen sets, such as ``bloodmnist``: its file in ``data.root``, and its classes by name; of
    volumes ``data.slice`` chooses a slice. Any other file in their layout is read without."""
    classes: tuple[str, ...] = ()
    """Names of the classes, which the file does not hold; label 0, label 1 ... unless given. A column of 0 and 1 is one
    finding, that is there where it says 1, unless both are named here: then they are two classes."""


class MedMnistSource:
    """The images of a MedMNIST file.

    Args:
        channels: that they have.
        place: of volumes, the slice to read (``slice_number``); None refuses them.

    Raises:
        InputError: no such file, or arrays that are no images of so many channels with labels.
    """

    smallest_class = None
    patients_known = False

    def __init__(
        self,
        root: Path,
        settings: MedMnistSettings,
        film_size: int,
        channels: int = 1,
        place: float | None = None,
    ) -> None:
        named = classes_of(settings.set) if settings.set else ()
        self._path = set_file(root, settings.set) if settings.set and root.is_dir() else _find_file(root)
        self.film_size, self.slice, names = film_size, place, settings.classes or named
        self._images: list[np.ndarray] = []
        labels, where, splits = [], [], []
        for name, part in _PARTS.items():
            images, values = _read_part(self._path, name, channels, place)
            self._images += list(images)
            labels.append(values)
            where += [f"{part} image {number + 1}" for number in range(len(images))]
            splits += [part] * len(images)
        if not self._images:
            raise InputError("data.root: the .npz file holds no images; download it again")
        if len({values.shape[1] for values in labels}) > 1:
            raise InputError("data.root: the .npz file has other labels in each part; is it MedMNIST's?")
        findings = _findings(np.concatenate(labels), len(names))
        self.classes = list(names) or [f"label {number}" for number in range(findings.shape[1])]
        if len(self.classes) != findings.shape[1] and not settings.classes:
            raise InputError(
                f"data.medmnist.set: {settings.set} has {len(self.classes)} classes, and the file's labels are of "
                f"{findings.shape[1]} (0 to {findings.shape[1] - 1})"
            )
        if len(self.classes) != findings.shape[1]:
            raise InputError(f"data.medmnist.classes: {len(self.classes)} names for {findings.shape[1]} classes")
        if len({plain(name) for name in self.classes}) < len(self.classes):
            raise InputError("data.medmnist.classes: a class is named twice; give each a name of its own")
        self.patient_ids = [f"medmnist-{number:07d}" for number in range(len(self._images))]
        self.films = [
            Film(number, int(1.0 in values), splits[number], where[number], tuple(values))
            for number, values in enumerate(findings.tolist())
        ]

    def fingerprint(self) -> str:
        """SHA-256 over the file, the class names and the size."""
        how = [SCALING, self.film_size, self.classes, file_digest(self._path)]
        how += [] if self.slice is None else [self.slice]
        return hashlib.sha256(json.dumps(how).encode()).hexdigest()

    def read(self, film: int) -> tuple[np.ndarray, None]:
        """One image."""
        return scale(self._images[film], self.film_size), None


def _find_file(root: Path) -> Path:
    files = [root] if root.is_file() else sorted(root.glob("*.npz"))
    if len(files) != 1:
        raise InputError(f"data.root: {len(files) or 'no'} .npz files in {root}; name one file")
    return files[0]


def _read_part(path: Path, part: str, channels: int, place: float | None) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            images, labels = (
                read_member(archive, f"{part}_{what}.npy", "data.root: the .npz file", _LARGEST_SHAPES)
                for what in ("images", "labels")
            )
    except InputError:
        raise
    except KeyError:
        raise InputError(f"data.root: the .npz file has no {part}_images or {part}_labels; is it MedMNIST's?") from None
    except Exception as error:  # a ZIP file within which a header is parsed as Python: errors of all kinds
        raise InputError(f"data.root: the .npz file cannot be read ({type(error).__name__}); get it again") from None
    if place is not None:
        images = _sliced(images, part, place)
    _check_images(images, part, channels)
    if labels.ndim != 2 or len(labels) != len(images) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"data.root: {part}_labels are not a row of whole numbers an image; is it MedMNIST's?")
    return images, labels


def _sliced(volumes: np.ndarray, part: str, place: float) -> np.ndarray:
    """(n, height, width): of each volume (n, depth, height, width) the slice at ``place``."""
    if volumes.ndim != 4 or volumes.shape[3] == 3:
        raise InputError(f"data.slice: {part}_images are no volumes; leave it out")
    return volumes[:, slice_number(place, volumes.shape[1])].copy()  # and not a view that keeps all of it


def _check_images(images: np.ndarray, part: str, channels: int) -> None:
    name, colour = f"data.root: {part}_images", images.ndim == 4 and images.shape[3] == 3
    if images.ndim > 3 and not colour:
        raise InputError(f"{name} are volumes; data.slice=0.5 reads the middle slice of each")
    if images.dtype != np.uint8 or images.ndim < 3 or 0 in images.shape[1:]:
        raise InputError(f"{name} are not images of 8 bits; is it MedMNIST's?")
    if colour != (channels > 1):
        have, wanted = ("in colour", "rgb") if colour else ("gray", "gray")
        first = part == next(iter(_PARTS))
        told = f"set data.channels={wanted}" if first else "and those of other parts are not; is it MedMNIST's?"
        raise InputError(f"{name} are {have}{';' if first else ','} {told}")


def _findings(labels: np.ndarray, named: int) -> np.ndarray:
    """(images, classes) float64, 0 or 1; a class that no image has is one where so many are ``named``."""
    if not labels.size:
        raise InputError("data.root: the .npz file has no labels; is it MedMNIST's?")
    if labels.max() >= _MOST_CLASSES:
        raise InputError(f"data.root: labels of {_MOST_CLASSES} and more, as of no collection; is it MedMNIST's?")
    if labels.min() < 0 or (labels.shape[1] > 1 and labels.max() > 1):
        raise InputError("data.root: labels other than 0 and 1 in several columns, or below 0; is it MedMNIST's?")
    if labels.shape[1] > 1 or (labels.max() <= 1 and named != 2):
        return labels.astype(np.float64)
    counts = np.bincount(labels[:, 0], minlength=2)
    if not named and not counts.all():
        lost = int(np.flatnonzero(counts == 0)[0])
        raise InputError(
            f"data.root: labels up to {labels.max()}, and none is {lost}; if {labels.max()} is no missing value, "
            "name all classes (data.medmnist.classes)"
        )
    return np.eye(len(counts))[labels[:, 0]]
