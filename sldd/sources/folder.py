"""A cohort folder: ``manifest.csv`` with columns ``patient_id,image,mask,label[,split]`` and the files it names.

``image`` and ``mask`` are relative to the manifest; ``label`` is 0 (negative) or 1 (positive); ``split`` is ``train``,
``validation`` or ``test``. A patient may have several rows; all must agree on label and split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sldd.errors import InputError
from sldd.io.film import SPLITS, Film, file_digest
from sldd.io.label_table import read_table
from sldd.io.radiograph import DECODING, radiograph_digest, read_mask, read_radiograph
from sldd.io.safe_path import inside

MANIFEST = "manifest.csv"
REQUIRED = ("patient_id", "image", "label")


class FolderSource:
    """The radiographs that a manifest lists.

    Raises:
        InputError: no manifest, a missing column, or a row that cannot be used, named by its line number.
    """

    classes: Sequence[str] = ()
    smallest_class = None

    def __init__(self, root: Path) -> None:
        self._root = root
        path = root / MANIFEST
        if not root.is_dir() or not path.is_file():
            raise InputError(f"data.root: there is no {MANIFEST} in {root}; see the README for its columns")
        rows = read_manifest(path)
        self.patient_ids = sorted({row["patient_id"] for _, row in rows})
        number = {identifier: i for i, identifier in enumerate(self.patient_ids)}
        self.films: list[Film] = []
        self._files: list[tuple[Path, Path | None]] = []
        first: dict[int, tuple[int, Film]] = {}
        for line, row in rows:
            where = f"{MANIFEST} line {line}"
            if row["label"] not in ("0", "1"):
                raise InputError(f"{where}: the label is neither 0 (negative) nor 1 (positive); write one of them")
            part = row.get("split") or None
            if part is not None and part not in SPLITS:
                raise InputError(f"{where}: the split is not one of {', '.join(SPLITS)}; write one of them")
            film = Film(number[row["patient_id"]], int(row["label"]), part, where)
            earlier_line, earlier = first.setdefault(film.patient, (line, film))
            if earlier.split != film.split:
                raise InputError(
                    f"{where}: the patient of line {earlier_line} is in two splits "
                    f"({earlier.split or 'none'} and {film.split or 'none'}); give all rows of a patient one split"
                )
            if earlier.label != film.label:
                raise InputError(f"{where}: the patient of line {earlier_line} has another label there; correct one")
            self.films.append(film)
            image, mask = (inside(root, row[name], where) if row.get(name) else None for name in ("image", "mask"))
            assert image is not None  # the column is required
            self._files.append((image, mask))
        given = sum(film.split is not None for film in self.films)
        if 0 < given < len(self.films):
            missing = next(film for film in self.films if film.split is None)
            raise InputError(f"{missing.where}: the split is empty; fill the column for every row or for none")

    def fingerprint(self) -> str:
        """SHA-256 over file contents, labels, splits and which rows share a patient."""
        rows = [
            [film.patient, film.label, film.split, radiograph_digest(image), file_digest(mask) if mask else None]
            for film, (image, mask) in zip(self.films, self._files, strict=True)
        ]
        return hashlib.sha256(json.dumps([DECODING, rows]).encode()).hexdigest()

    def read(self, film: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Decode one radiograph and its mask."""
        image, mask = self._files[film]
        return read_radiograph(image), read_mask(mask) if mask else None


def read_manifest(path: Path, required: Sequence[str] = REQUIRED) -> list[tuple[int, dict[str, str]]]:
    """The rows of a manifest with their line numbers, cells stripped.

    Args:
        required: columns that must be there and filled.

    Raises:
        InputError: no such table, or a row that cannot be used, named by its line number.
    """
    name = path.name
    header, lines = read_table(path, name)
    missing = [column for column in required if column not in header]
    if missing:
        raise InputError(f"{name}: no column {', '.join(missing)}; the README lists the columns")
    rows = [(line, dict(zip(header, cells, strict=True))) for line, cells in lines]
    for line, row in rows:
        empty = [column for column in required if not row[column]]
        if empty:
            raise InputError(f"{name} line {line}: {', '.join(empty)} is empty; fill it or remove the row")
    return rows
