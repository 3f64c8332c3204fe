"""A random part of a source's patients, to simulate several hospitals with one collection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sldd.errors import InputError
from sldd.io.film import Film, OrganMask, Radiograph, Source
from sldd.rng import stream


class PartOfPatients:
    """The films of one of several equal, random parts of a source's patients.

    Args:
        source: the whole.
        part: ``1/3``: the first of three parts.

    Raises:
        InputError: there is no such part, or nobody in it.
    """

    def __init__(self, source: Source, part: str) -> None:
        number, _, parts = (int(word) if word.isdecimal() else word for word in part.partition("/"))
        if not (isinstance(number, int) and isinstance(parts, int) and 1 <= number <= parts):
            raise InputError(f"data.part: {part!r} is no part such as 1/3, the first of three")
        self._source, self._part = source, part
        order = stream(0, "parts").permutation(len(source.patient_ids))
        chosen = sorted(order[number - 1 :: parts].tolist())
        if not chosen:
            raise InputError(f"data.part: {len(source.patient_ids)} patients make no {parts} parts; ask for fewer")
        renumbered = {patient: place for place, patient in enumerate(chosen)}
        self._kept = [number for number, film in enumerate(source.films) if film.patient in renumbered]
        self.films: Sequence[Film] = [
            replace(source.films[number], patient=renumbered[source.films[number].patient]) for number in self._kept
        ]
        self.patient_ids = [source.patient_ids[patient] for patient in chosen]
        self.classes, self.smallest_class = source.classes, source.smallest_class
        self.patients_known: bool = getattr(source, "patients_known", True)
        self.slice: float | None = getattr(source, "slice", None)
        self.film_size: int | None = getattr(source, "film_size", None)
        self.notes: Sequence[str] = getattr(source, "notes", ())

    def fingerprint(self) -> str:
        """SHA-256 over that of the whole and the part."""
        return hashlib.sha256(f"{self._source.fingerprint()} {self._part}".encode()).hexdigest()

    def read(self, film: int) -> tuple[np.ndarray | Radiograph, np.ndarray | OrganMask | None]:
        """Decode one film."""
        return self._source.read(self._kept[film])
