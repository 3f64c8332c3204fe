"""Source of a cohort folder: ``manifest.csv`` (``patient_id,image,mask,label[,split]``) and its files.

``image`` and ``mask`` are relative to the manifest; ``label`` is 0 (negative) or 1 (positive); ``split`` is ``train``,
``validation`` or ``test``. A patient may have several rows; all must agree on label and split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from sldd.errors import InputError
from sldd.io.cells import binary, is_error, is_missing
from sldd.io.film import SPLITS, Film, OrganMask, Radiograph, file_digest
from sldd.io.label_table import Table, column, find_column, read_table, refuse_nearly
from sldd.io.mask import read_organ
from sldd.io.patient_ids import alike, one_owner, patient_id
from sldd.io.radiograph import DECODING, radiograph_digest, read_film
from sldd.io.safe_path import inside
from sldd.sources.labelled_films import COLOUR, RESPELLED

MANIFEST = "manifest.csv"
COLUMNS = "patient_id,image,mask,label[,split]"
REQUIRED = ("patient_id", "image", "label")
OPTIONAL = ("mask", "label", "split")


class FolderSource:
    """The radiographs that a manifest lists.

    Args:
        channels: as of ``read_film``.
        table: the manifest where it is in memory; its files are those of ``root``.

    Raises:
        InputError: no manifest, a missing column, or a row that cannot be used, named by its line number.
    """

    classes: Sequence[str] = ()
    smallest_class = None

    def __init__(self, root: Path, channels: int = 1, table: Table | None = None) -> None:
        self._channels = channels
        path = root / MANIFEST
        if table is None and not path.is_file():
            raise InputError(
                f"data.root: there is no {MANIFEST} in {root}; it needs one with {COLUMNS} (example: "
                "python -m sldd.sources.phantom DIR)"
            )
        rows = read_manifest(path, table=table)
        self.notes: Sequence[str] = rows.notes
        self._respelled = rows.respelled
        self.patient_ids = sorted({row["patient_id"] for _, row in rows})
        number = {identifier: place for place, identifier in enumerate(self.patient_ids)}
        self.films: list[Film] = []
        self._files: list[tuple[Path, Path | None]] = []
        """Radiograph and organ mask of each film."""
        first: dict[int, tuple[int, Film]] = {}  # by patient, the first line and its film
        for line, row in rows:
            where = f"{MANIFEST} line {line}"
            film = _film(number[row["patient_id"]], row, where)
            _check_agreement(film, *first.setdefault(film.patient, (line, film)))
            self.films.append(film)
            image = inside(root, row["image"], where)
            self._files.append((image, inside(root, row["mask"], where) if row.get("mask") else None))
        _check_masks(self._files, self.films)
        _check_splits(self.films)

    def fingerprint(self) -> str:
        """SHA-256 over file contents, labels, splits and which rows share a patient."""
        rows = [
            [film.patient, film.label, film.split, radiograph_digest(image), file_digest(mask) if mask else None]
            for film, (image, mask) in zip(self.films, self._files, strict=True)
        ]
        how: list[object] = [DECODING, rows]
        how += [RESPELLED] if self._respelled else []
        how += [COLOUR] if self._channels > 1 else []
        return hashlib.sha256(json.dumps(how).encode()).hexdigest()

    def read(self, film: int) -> tuple[Radiograph, OrganMask | None]:
        """Decode one radiograph and its mask."""
        image, mask = self._files[film]
        return read_film(image, self._channels), read_organ(mask) if mask else None


def _film(patient: int, row: dict[str, str], where: str) -> Film:
    """The film that a row describes.

    Raises:
        InputError: its label is neither 0 nor 1, or its split is none of ``SPLITS``.
    """
    if row["label"] not in ("0", "1"):
        raise InputError(f"{where}: the label is neither 0 (negative) nor 1 (positive); write one of them")
    split = (row.get("split") or "").casefold() or None
    if split is not None and split not in SPLITS:
        raise InputError(f"{where}: the split is not one of {', '.join(SPLITS)}; write one of them")
    return Film(patient, int(row["label"]), split, where)


def _check_agreement(film: Film, earlier_line: int, earlier: Film) -> None:
    """Raise an InputError where an earlier film of the same patient has another split or label."""
    if earlier.split != film.split:
        raise InputError(
            f"{film.where}: the patient of line {earlier_line} is in two splits "
            f"({earlier.split or 'none'} and {film.split or 'none'}); give all rows of a patient one split"
        )
    if earlier.label != film.label:
        raise InputError(f"{film.where}: the patient of line {earlier_line} has another label there; correct one")


def _check_splits(films: Sequence[Film]) -> None:
    """Raise an InputError where some films have a split and others have none."""
    without = [film for film in films if film.split is None]
    if 0 < len(without) < len(films):
        raise InputError(f"{without[0].where}: the split is empty; fill the column for every row or for none")


def _check_masks(files: Sequence[tuple[Path, Path | None]], films: Sequence[Film]) -> None:
    """Raise an InputError where a mask is its own image."""
    for (image, mask), film in zip(files, films, strict=True):
        if mask == image:
            raise InputError(f"{film.where}: the mask is the image itself; name the mask, or leave the cell empty")


class ManifestRows(list[tuple[int, dict[str, str]]]):
    """Line number and cells, by column, of each row of a manifest.

    ``notes`` are lines for the user about what is odd and was taken as it is; ``respelled`` says whether an identifier
    was read otherwise than it is written.
    """

    notes: Sequence[str] = ()
    respelled: bool = False


def read_manifest(path: Path, required: Sequence[str] = REQUIRED, table: Table | None = None) -> ManifestRows:
    """The rows of a manifest with their line numbers: the columns that are known, cells stripped, labels as 0 and 1.

    Args:
        required: columns that must be there and filled.
        table: the manifest where it is in memory.

    Raises:
        InputError: no such table, or a row that cannot be used, named by its line number.
    """
    name = path.name
    header, lines = table or read_table(path, name)
    places = {wanted: column(header, name, wanted) for wanted in required}
    for wanted in OPTIONAL:
        place = find_column(header, name, wanted)
        if place is not None:
            places[wanted] = place
        elif wanted == "label" or "label" in required:  # a receiver's masks and splits are not read
            refuse_nearly(header, name, wanted)
    rows, owners = ManifestRows(), []
    for line, cells in lines:
        where = f"{name} line {line}"
        row = {wanted: cells[place] for wanted, place in places.items()}
        empty = [wanted for wanted in required if not row[wanted]]
        if empty:
            raise InputError(f"{where}: {', '.join(empty)} is empty; fill it or remove the row")
        for wanted, cell in row.items():
            if wanted != "patient_id" and (is_missing(cell) or is_error(cell)):
                raise InputError(f"{where}: {wanted} is a missing value or an error cell (nan, #N/A); correct it")
        if (value := binary(row.get("label", ""))) is not None:
            row["label"] = f"{value:.0f}"
        whose = patient_id(row["patient_id"], where)
        rows.respelled |= whose != row["patient_id"]
        rows.append((line, row | {"patient_id": whose}))
        owners.append((Path(row["image"].replace("\\", "/")), whose, where))
    one_owner(owners)
    rows.notes = [*alike(((row["patient_id"], line) for line, row in rows), name), *_repeated(rows, name)]
    return rows


def manifest_notes(where: Path) -> Sequence[str]:
    """Oddities of the manifest that a receiver points at, by itself or by its folder, if there is one."""
    path = where / MANIFEST if where.is_dir() else where
    return read_manifest(path, ("patient_id", "image")).notes if path.is_file() else ()


def _repeated(rows: Sequence[tuple[int, dict[str, str]]], name: str) -> list[str]:
    """A line where rows are the same image of the same patient again."""
    first: dict[str, int] = {}
    again = [line for line, row in rows if first.setdefault(row["image"], line) != line]
    if not again:
        return []
    return [f"{name} line {again[0]}: an image again ({len(again)} such lines); each is counted as a film of its own"]
