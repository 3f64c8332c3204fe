"""Concatenation of several collections of films into one training set (co-training)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate

import torch

from sldd.data.cohort import Cohort
from sldd.data.split import Split
from sldd.data.whole_films import WholeFilms
from sldd.errors import InputError
from sldd.ops.digest import digest


class JoinedFilms(WholeFilms):
    """The films of several collections, each standardised by its own training films.

    A class of the one that the other does not name is not known of the other's films, and so in no loss or score of
    theirs. Patients are numbered on, collection by collection.

    Args:
        parts: of the same side.

    Raises:
        InputError: one has patients with one label instead of films with findings, other channels, or a class that
            another one spells otherwise.
    """

    def __init__(self, parts: Sequence[WholeFilms]) -> None:
        super().__init__(join([part.cohort for part in parts]), parts[0].side, 0.0, 1.0)
        self._places = [(part, film) for part in parts for film in range(len(part.cohort.film_patients))]

    @property
    def fingerprint(self) -> str | None:
        """Digest of the parts' films; None where one has none."""
        parts = list(dict.fromkeys(part for part, _ in self._places))
        contents = [part.fingerprint for part in parts]
        return None if None in contents else digest("joined", contents, self.side)

    def image(self, film: int) -> torch.Tensor:
        """(1, channels, side, side) float32."""
        part, number = self._places[film]
        return part.image(number)


def join(cohorts: Sequence[Cohort]) -> Cohort:
    """One cohort of several: patients, films and findings, over the classes of all; it has no pixels of its own."""
    if not all(cohort.classes for cohort in cohorts):
        raise InputError("sources: only collections of films with findings can be trained on together")
    if len({cohort.channels for cohort in cohorts}) > 1:
        raise InputError("sources: gray collections and such in colour cannot be trained on together")
    classes = list(dict.fromkeys(name for cohort in cohorts for name in cohort.classes))
    spelled: dict[str, str] = {}
    for name in classes:  # each would be unknown of the other's films: neither wrong nor right, and half learned
        other = spelled.setdefault("".join(filter(str.isalnum, name.casefold())), name)
        if other != name and not any({name, other} <= set(cohort.classes) for cohort in cohorts):
            raise InputError(f"sources: {other!r} and {name!r} would be two classes; spell them alike in both tables")
    firsts = _firsts([cohort.patients for cohort in cohorts])
    findings: list[list[float | None]] = []
    for cohort in cohorts:
        places = [cohort.classes.index(name) if name in cohort.classes else None for name in classes]
        findings += [[None if place is None else row[place] for place in places] for row in cohort.findings]
    return Cohort(
        folder=cohorts[0].folder,
        fingerprint=hashlib.sha256(" ".join(cohort.fingerprint for cohort in cohorts).encode()).hexdigest(),
        dtype=cohorts[0].dtype,
        shapes=[shape for cohort in cohorts for shape in cohort.shapes],
        film_patients=[
            first + patient for first, cohort in zip(firsts, cohorts, strict=True) for patient in cohort.film_patients
        ],
        has_mask=[False for cohort in cohorts for _ in cohort.film_patients],
        labels=[label for cohort in cohorts for label in cohort.labels],
        splits=[None for cohort in cohorts for _ in cohort.labels],
        sums=[value for cohort in cohorts for value in cohort.sums],
        square_sums=[value for cohort in cohorts for value in cohort.square_sums],
        classes=classes,
        findings=findings,
        channels=cohorts[0].channels,
    )


def join_splits(splits: Sequence[Split], patients: Sequence[int]) -> Split:
    """The splits of several collections as one, in ``JoinedFilms``' numbers.

    Args:
        patients: how many each collection has.
    """
    moved = [
        {part: [first + patient for patient in numbers] for part, numbers in vars(split).items()}
        for first, split in zip(_firsts(patients), splits, strict=True)
    ]
    return Split(**{part: [patient for split in moved for patient in split[part]] for part in vars(splits[0])})


def _firsts(counts: Sequence[int]) -> list[int]:
    """Offset of each collection's numbers."""
    return list(accumulate(counts, initial=0))[:-1]
