"""Clean up a hospital's findings: copies of a film, and classes with too few films to learn from or to score.

Ours, after the published preparation ("removing replicate images", classes discarded): an archive that was searched
finding by finding holds a film once for each of its findings, so the findings of copies are put together. A film whose
only findings were dropped stays: of every class that is left it is a true negative.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sldd.errors import InputError
from sldd.io.film import Film


class Cleaning:
    """Takes a source's films one after the other; takes them as they are where ``smallest_class`` is None."""

    def __init__(self, classes: Sequence[str], smallest_class: int | None) -> None:
        self._classes, self._smallest = list(classes), smallest_class
        self._films: list[Film] = []
        self._places: dict[bytes, int] = {}
        self._copies = 0

    def keep(self, film: Film, pixels: np.ndarray) -> bool:
        """False for a copy of an earlier film, to which its findings are added.

        Raises:
            InputError: the two are of different patients.
        """
        if self._smallest is not None:
            digest = hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()).digest()
            place = self._places.setdefault(digest, len(self._films))
            if place < len(self._films):
                first = self._films[place]
                if first.patient != film.patient:
                    raise InputError(
                        f"{film.where}: the same pixels as {first.where}, but another patient; "
                        "correct the patient or remove one of the two"
                    )
                both = np.fmax(first.findings, film.findings)
                self._films[place] = replace(first, findings=tuple(both.tolist()), label=max(first.label, film.label))
                self._copies += 1
                return False
        self._films.append(film)
        return True

    def finish(self) -> tuple[list[str], list[Film], list[str]]:
        """The classes and films that are left, and a line on each thing that was left out.

        Raises:
            InputError: no class is left.
        """
        notes = []
        if self._copies:
            notes.append(f"copies of films left out: {self._copies}")
        if self._smallest is None:
            return self._classes, self._films, notes
        findings = np.array([film.findings for film in self._films])
        counts = (findings == 1).sum(0)
        left = [place for place, count in enumerate(counts) if count >= self._smallest]
        few = [place for place, count in enumerate(counts) if count < self._smallest]
        dropped = [f"{self._classes[place]} ({counts[place]})" for place in few]
        if not left:
            raise InputError(f"no finding is on {self._smallest} films or more; lower the smallest class or add films")
        if dropped:
            notes.append(f"findings on fewer than {self._smallest} films dropped: {', '.join(dropped)}")
        films = [
            replace(film, findings=tuple(values), label=int(1.0 in values))
            for film, values in zip(self._films, findings[:, left].tolist(), strict=True)
        ]
        return [self._classes[place] for place in left], films, notes
