"""Find a receiver's radiographs: a folder of them, or a manifest as a study reads it, with labels or without.

They are read one at a time and never written anywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sldd.errors import InputError
from sldd.io.film import ChannelsError, Radiograph, VolumeError
from sldd.io.radiograph import read_film as read
from sldd.io.safe_path import inside, linked_outside
from sldd.sources.film_files import find_films
from sldd.sources.folder import MANIFEST, read_manifest

_WHITE = 65535 // 255


@dataclass(frozen=True)
class FilmFile:
    """A radiograph's file; ``where`` names it in messages without naming the patient. A table has ``listed`` it, or
    else it was found in a folder."""

    path: Path
    where: str
    listed: bool = False


@dataclass(frozen=True)
class Patient:
    """``name`` as the receiver has it, which goes nowhere but into a private file on request; ``label`` 0, 1, None."""

    name: str
    label: int | None
    films: tuple[FilmFile, ...]


@dataclass(frozen=True)
class Received:
    """A receiver's patients in the order of their names, and how many files of the folder are no films."""

    patients: list[Patient]
    left_out: dict[str, int]


def find_patients(where: Path) -> list[Patient]:
    """The patients of ``look_through``."""
    return look_through(where).patients


def look_through(where: Path, classes: Sequence[str] = ()) -> Received:
    """Find patients.

    Args:
        classes: of the package: a folder of such a name holds films, though it were called as masks are.
        where: a manifest (.csv), a folder with ``manifest.csv``, or a folder of films (``find_films``), each of which
            is then a patient.

    Raises:
        InputError: there is no radiograph, or a row of the manifest cannot be used.
    """
    if where.is_dir():
        if (where / MANIFEST).is_file():
            return Received(_listed(where / MANIFEST), {})
        films = find_films(where, received=True, named=lambda folders: _down_to(classes, folders))
        total = len(films.paths)
        patients = [
            Patient(str(path.relative_to(where)), None, (FilmFile(path, f"film {number} of {total} by name"),))
            for number, path in enumerate(films.paths, 1)
        ]
        return Received(patients, films.left_out)
    if where.suffix.lower() != ".csv" or not where.is_file():
        raise InputError(f"{where}: neither a folder nor a manifest (.csv)")
    return Received(_listed(where), {})


def _down_to(classes: Sequence[str], folders: Sequence[str]) -> int:
    """How many folders, from the top, lead to the first that is called as a class; 0 where none is."""
    return next((depth for depth, name in enumerate(folders, 1) if name in classes), 0)


def read_film(film: FilmFile, channels: int = 1, place: float | None = None) -> Radiograph:
    """One radiograph, in memory; see ``read_for``."""
    try:
        return read_for(film.path, channels, place)
    except InputError as error:
        raise type(error)(f"{film.where}: {error}") from None


def read_for(path: Path, channels: int, place: float | None = None) -> Radiograph:
    """A radiograph for a package of so many channels; of a volume the slice that its maker read (``Header.slice``).

    Raises:
        NoImageError: it is a DICOM file of something else.
        InputError: it cannot be read, or is gray where the package is for colour or the other way round.
    """
    try:
        radiograph = read(path, channels, place)
    except VolumeError:
        raise InputError(
            "the file is a volume of several slices, and the package does not say which its maker read; save that one"
        ) from None
    except ChannelsError as error:
        raise InputError(f"{error}, and the package is for images in colour; give it such") from None
    if radiograph.coloured:
        raise InputError("the image is in colour, and the package is for gray ones; save it in gray, as its maker did")
    return radiograph


def at_depth(radiograph: Radiograph, depth: int) -> np.ndarray | None:
    """Pixels of 8 or 16 bits; None where nobody can say what the others become.

    255 is 65,535 where both are white: in 8 bits, and in films that are as a viewer shows them. A film of 16 bits may
    have white anywhere.
    """
    pixels = radiograph.pixels
    if pixels.dtype.itemsize * 8 == depth:
        return pixels
    if depth == 16:
        return pixels.astype(np.uint16) * _WHITE
    if not radiograph.as_shown:
        return None
    return ((pixels.astype(np.uint32) + _WHITE // 2) // _WHITE).astype(np.uint8)


def _listed(manifest: Path) -> list[Patient]:
    films: dict[str, list[FilmFile]] = defaultdict(list)
    labels: dict[str, tuple[int, int | None]] = {}
    for line, row in read_manifest(manifest, ("patient_id", "image")):
        where = f"{manifest.name} line {line}"
        if row.get("label") not in (None, "", "0", "1"):
            raise InputError(f"{where}: the label is neither 0 (negative) nor 1 (positive), nor empty; correct it")
        path = inside(manifest.parent, row["image"], where)
        if linked_outside(manifest.parent, path):
            raise InputError(f"{where}: a symbolic link leads out of the manifest's folder; copy the image there")
        label = int(row["label"]) if row.get("label") else None
        first, earlier = labels.setdefault(row["patient_id"], (line, label))
        if earlier != label:
            raise InputError(f"{where}: the patient of line {first} has another label there; correct one")
        films[row["patient_id"]].append(FilmFile(path, where, listed=True))
    return [Patient(name, labels[name][1], tuple(films[name])) for name in sorted(films)]
