"""Base of sources of films with findings: NIH ChestX-ray14, CheXpert and hospitals' exports, once a table is read.

Films are scaled when they are read. 112,120 films of 1024 x 1024 are 110 GiB of gray values and no network here sees
that many pixels of a whole film; at 512, the published size, they are 27 GiB, at 224 5 GiB. Each side is scaled by
itself, as published, down to ``film_size`` and never up: a network's input is square in the end, the width of a heart
by that of its chest stays what it is, and a border would tell the film's format, so the machine, so who could stand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from sldd.errors import InputError
from sldd.io.film import Film, Radiograph, by_channel, channels_of
from sldd.io.patient_ids import alike, one_owner
from sldd.io.radiograph import DECODING, exists, radiograph_digest, read_film

LABEL_TABLE = "label table"
"""What messages call the table of a collection with findings."""
RESPELLED = "identifiers in NFC"
"""Part of a cohort's fingerprint where patients have other identifiers, so other pseudonyms, than the table says."""
COLOUR = "rgb"
"""Part of a cohort's fingerprint where films are read in colour."""
SCALING = 1
"""Part of a cohort's fingerprint. Raise it whenever the same film would be scaled to other pixels than before."""


@dataclass(frozen=True)
class Row:
    """A film as its table has it: whose, where it lies, a value for each class, its line, how messages call it, and its
    split where that is fixed."""

    patient: str
    file: Path
    findings: tuple[float, ...]
    where: str
    line: int = 0
    split: str | None = None


class LabelledFilms:
    """The films of a table.

    Args:
        classes: what can be found on a film.
        rows: one a film.
        film_size: longest side in pixels.
        smallest_class: see ``Source``.
        notes: what the table's reader found odd, in lines for the user.
        respelled: whether identifiers were read otherwise than the table has them.
        channels, place: as of ``read_film``.
        patients_known: False where every film counts as a patient of its own, whose identifiers are ours.

    Raises:
        InputError: a film is missing, or another patient's too.
    """

    def __init__(
        self,
        classes: Sequence[str],
        rows: Sequence[Row],
        film_size: int,
        smallest_class: int | None = None,
        notes: Sequence[str] = (),
        respelled: bool = False,
        channels: int = 1,
        patients_known: bool = True,
        place: float | None = None,
    ) -> None:
        self.classes, self.smallest_class = list(classes), smallest_class
        self.film_size, self._respelled, self._channels = film_size, respelled, channels
        self.patients_known, self.slice = patients_known, place
        self.notes = [*notes, *alike(((row.patient, row.line) for row in rows), LABEL_TABLE)]
        one_owner((row.file, row.patient, row.where) for row in rows)
        self.patient_ids = sorted({row.patient for row in rows})
        number = {identifier: i for i, identifier in enumerate(self.patient_ids)}
        self._files = [row.file for row in rows]
        self.films = [
            Film(number[row.patient], int(1.0 in row.findings), row.split, row.where, row.findings) for row in rows
        ]
        for film, file in zip(self.films, self._files, strict=True):
            # Said now, not after an hour of decoding; what else can be wrong with a file shows when it is read.
            if not exists(file):
                raise InputError(f"{film.where}: the file does not exist; put it there or remove the line")

    def fingerprint(self) -> str:
        """SHA-256 over file contents, findings, splits, the size, and which rows share a patient."""
        rows = [
            [film.patient, [str(value) for value in film.findings], radiograph_digest(file)]
            for film, file in zip(self.films, self._files, strict=True)
        ]
        how: list[object] = [DECODING, SCALING, self.film_size, self.smallest_class, self.classes]
        how += [RESPELLED] if self._respelled else []
        how += [COLOUR] if self._channels > 1 else []
        how += [] if self.slice is None else [self.slice]
        splits = [film.split for film in self.films]
        how += [splits] if any(splits) else []
        return hashlib.sha256(json.dumps([how, rows]).encode()).hexdigest()

    def read(self, film: int) -> tuple[Radiograph, None]:
        """Decode and scale one film."""
        return scaled(read_film(self._files[film], self._channels, self.slice), self.film_size), None


def scaled(film: Radiograph, side: int) -> Radiograph:
    """A film and its padding, each side at most ``side``; the film itself where it is no larger.

    Raises:
        InputError: what is no padding is too thin to be seen at that size.
    """
    if max(film.pixels.shape[:2]) <= side:
        return film
    padding = film.padding
    if padding is not None:
        padding = scale(padding.astype(np.uint8) * 255, side) > 127
        if padding.all():
            raise InputError("the film is padding (PixelPaddingValue) but for thin lines; remove it")
    return replace(film, pixels=scale(film.pixels, side), padding=padding)


def scale(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels of a film, each side at most ``side``; they are weighted means of all that they cover.

    Args:
        pixels: (height, width) or (height, width, channels).
    """
    height, width = (min(length, side) for length in pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    if pixels.ndim > 2:
        return np.stack([scale(values, side) for values in by_channel(pixels, channels_of(pixels))], axis=2)
    image = Image.fromarray(pixels.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.rint(np.asarray(image)).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
