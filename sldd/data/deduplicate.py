"""Deduplication of films by pixels, and removal of classes with too few films to learn or to score.

The same pixels under two patients are a mistake of whoever made the table, in every source: labels may contradict each
other, and the same film may train and test.

Ours, after the published preparation ("removing replicate images", classes discarded): an archive that was searched
finding by finding holds a film once for each of its findings, so the findings of copies are put together. A film whose
only findings were dropped stays: of every class that is left it is a true negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sldd.errors import InputError
from sldd.io.film import Film


class Copies:
    """Finds films with identical pixels.

    Two films of other sums are others; those of equal sums are compared. That costs nothing where there is no copy,
    and hashing all pixels would be a noticeable part of reading them.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[object, ...], list[int]] = {}

    def earlier(
        self, place: int, pixels: np.ndarray, sums: tuple[float, ...], stored: Callable[[int], np.ndarray]
    ) -> int | None:
        """The place of an earlier film with the same pixels; else remember this one under its place.

        Args:
            sums: of the pixels, and of their squares.
            stored: gives the pixels of an earlier place.
        """
        same = self._places.setdefault((pixels.shape, *sums), [])
        for earlier in same:
            if np.array_equal(stored(earlier), pixels):
                return earlier
        same.append(place)
        return None


class Cleaning:
    """Deduplicates a source's films one after the other; refuses the same pixels under two patients.

    Args:
        classes: as of the source.
        smallest_class: as of the source; where it is None, copies within a patient stay, and are counted.
        patients_known: False where a source names no patients, so that copies say nothing of them.
    """

    def __init__(self, classes: Sequence[str], smallest_class: int | None, *, patients_known: bool = True) -> None:
        self._classes, self._smallest, self._known = list(classes), smallest_class, patients_known
        self._films: list[Film] = []
        self._copies = 0

    def keep(self, film: Film, copy_of: int | None) -> bool:
        """False for a copy of an earlier film, to which its findings are added.

        Args:
            copy_of: number of the earlier film among those that were kept, if this one has its pixels.

        Raises:
            InputError: the two are of different patients.
        """
        if copy_of is not None:
            first = self._films[copy_of]
            if first.patient != film.patient and self._known:
                raise InputError(
                    f"{film.where}: the same pixels as {first.where}, but another patient; "
                    "correct the patient or remove one of the two"
                )
            self._copies += 1
            if self._smallest is not None:
                both = np.fmax(first.findings, film.findings)
                self._films[copy_of] = replace(first, findings=tuple(both.tolist()), label=max(first.label, film.label))
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
            kept = "are there twice" if self._smallest is None else "left out"
            notes.append(f"copies of films {kept}: {self._copies}")
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
