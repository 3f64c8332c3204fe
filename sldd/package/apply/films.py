"""The radiographs that a receiver points at: a folder of them, or a manifest as a study reads it, labels or not.

They are read one at a time and never written anywhere.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from sldd.data.cohort import Cohort, one_film
from sldd.errors import InputError
from sldd.io.radiograph import read_radiograph
from sldd.io.safe_path import inside, linked_outside
from sldd.sources.folder import MANIFEST, read_manifest

ENDINGS = {".png", ".tif", ".tiff", ".dcm", ".dicom"}


@dataclass(frozen=True)
class FilmFile:
    """A radiograph's file; ``where`` names it in messages without naming the patient."""

    path: Path
    where: str


@dataclass(frozen=True)
class Patient:
    """``name`` as the receiver has it, which goes nowhere but into a private file on request; ``label`` 0, 1, None."""

    name: str
    label: int | None
    films: tuple[FilmFile, ...]


def find_patients(where: Path) -> list[Patient]:
    """Patients in the order of their names.

    Args:
        where: a manifest (.csv), a folder with ``manifest.csv``, or a folder of PNG, TIFF and DICOM files, each of
            which is then a patient.

    Raises:
        InputError: there is no radiograph, or a row of the manifest cannot be used.
    """
    if where.is_dir():
        if (where / MANIFEST).is_file():
            return _listed(where / MANIFEST)
        paths = sorted(path for path in where.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        if not paths:
            raise InputError(f"{where}: neither {MANIFEST} nor a PNG, TIFF or DICOM file in it")
        total = len(paths)
        for number, path in enumerate(paths, 1):
            if linked_outside(where, path):
                raise InputError(f"{where}: film {number} of {total} by name is a link that leads out of the folder")
        return [
            Patient(str(path.relative_to(where)), None, (FilmFile(path, f"film {number} of {total} by name"),))
            for number, path in enumerate(paths, 1)
        ]
    if where.suffix.lower() != ".csv" or not where.is_file():
        raise InputError(f"{where}: neither a folder nor a manifest (.csv)")
    return _listed(where)


def read_film(film: FilmFile, label: int | None = None) -> Cohort:
    """A cohort of one radiograph, in memory.

    Raises:
        InputError: it cannot be read.
    """
    try:
        pixels = read_radiograph(film.path)
    except InputError as error:
        raise InputError(f"{film.where}: {error}") from None
    return one_film(pixels, label=label or 0)


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
        films[row["patient_id"]].append(FilmFile(path, where))
    return [Patient(name, labels[name][1], tuple(films[name])) for name in sorted(films)]
