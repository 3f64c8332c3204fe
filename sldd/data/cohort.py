"""Cohort: patients, their radiographs, organ masks and labels, decoded once a machine and memory-mapped.

A source (``sldd/sources``) says what there is; ``prepare`` decodes it into one file of pixels and one of masks, named
by the fingerprint of the data. Trials open those files read-only, so a second trial on a machine costs no memory.
Nothing here carries a patient's identifier: patients are numbers, in the order of their sorted identifiers.

Patients have one label, or their films have findings: one of {0, 1, not known} a class; such films have no masks.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sldd.data.decode import decode, patients_known
from sldd.data.oddities import places
from sldd.errors import InputError
from sldd.io.atomic_file import sync
from sldd.io.film import Source, channels_of, reading_of
from sldd.ops.types import PerChannel

INDEX = "index.json"

_READER = 3
"""Version of the decoded files. Raise it whenever a film gets other pixels than before, or the index more fields: films
are then decoded anew.

Films that get other pixels have to say so in ``Radiograph.changed`` too, by which studies know whether they may go on.
"""


@dataclass(frozen=True)
class Cohort:
    """Decoded radiographs in the folder ``folder``; arrays are read-only views of memory-mapped files."""

    folder: Path
    fingerprint: str
    dtype: str
    """``uint8`` or ``uint16``, of all films."""
    shapes: list[list[int]] = field(repr=False)
    """Height and width of each film."""
    film_patients: list[int] = field(repr=False)
    """Patient of each film."""
    has_mask: list[bool] = field(repr=False)
    labels: list[int] = field(repr=False)
    """Of each patient, 0 or 1; where films have findings, 1 where any film has one."""
    splits: list[str | None] = field(repr=False)
    """Of each patient, where the source fixes them."""
    sums: list[float] = field(repr=False)
    """Sum of the values of each film, channel by channel, padding left out."""
    square_sums: list[float] = field(repr=False)
    """Likewise, of the values' squares."""
    classes: list[str] = field(default_factory=list)
    """What can be found on a film; empty where patients have one label instead."""
    findings: list[list[float | None]] = field(default_factory=list, repr=False)
    """Of each film, a value for each class: 0, 1, or None where it is not known."""
    left_out: list[str] = field(default_factory=list)
    """What was left out of the source, and why."""
    film_pixels: list[int] = field(default_factory=list, repr=False)
    """Pixels of each film that are no padding, which ``sums`` and ``square_sums`` are over; empty where all are."""
    ranges: list[list[int]] = field(default_factory=list, repr=False)
    """Lowest and highest value of each film, padding left out."""
    kept: list[int] = field(default_factory=list, repr=False)
    """Each film's number among the source's."""
    wheres: list[str] = field(default_factory=list, repr=False)
    """What messages call each film."""
    oddities: list[list[Any]] = field(default_factory=list, repr=False)
    """What looks odd, in words, with the numbers of the films."""
    files: str = ""
    """The source's fingerprint, which ``fingerprint`` is too unless a film is read otherwise than by ``DECODING`` 1."""
    changed: dict[str, int] = field(default_factory=dict)
    """How many films are read otherwise than by ``DECODING`` 1, by the rule of docs/reading.md that changed."""
    channels: int = 1
    """Of every film: 1 for gray, 3 for red, green and blue, each of which has its sum in ``sums``, film by film."""
    slice: float | None = None
    """``data.slice``, where it was given; volumes may be among the films then."""
    film_size: int | None = None
    """``data.film_size``, where the source scales films."""

    @property
    def patients(self) -> int:
        return len(self.labels)

    @cached_property
    def one_class_each(self) -> bool:
        """Whether each film is of exactly one of several classes."""
        return len(self.classes) > 1 and bool(((self.film_labels == 1).sum(1) == 1).all())

    @property
    def words(self) -> tuple[str, str]:
        """What messages call a patient and a film: images of one class each may be of anything."""
        return ("subject", "image") if self.one_class_each else ("patient", "film")

    @property
    def notes(self) -> list[str]:
        """What was left out of the source, and why, and what looks odd."""
        odd = [f"{places([self.wheres[film] for film in films])}: {words}" for words, films in self.oddities]
        return self.left_out + odd

    @property
    def odd_films(self) -> list[int]:
        """Films that ``notes`` are about."""
        return sorted({film for _, films in self.oddities for film in films})

    @property
    def depth(self) -> Literal[8, 16]:
        """Bits of a value."""
        return 8 if self.dtype == "uint8" else 16

    @cached_property
    def films_of(self) -> list[list[int]]:
        """Film numbers of each patient."""
        films: list[list[int]] = [[] for _ in self.labels]
        for film, patient in enumerate(self.film_patients):
            films[patient].append(film)
        return films

    @cached_property
    def film_labels(self) -> np.ndarray:
        """(films, classes) float32 findings: 0, 1, or NaN where not known."""
        return np.array(self.findings, np.float32).reshape(len(self.film_patients), len(self.classes))

    @cached_property
    def _offsets(self) -> np.ndarray:
        """(films + 1,) pixel at which each film begins in the files, and where the last one ends."""
        return np.concatenate([[0], np.cumsum([height * width for height, width in self.shapes])])

    @cached_property
    def _pixels(self) -> np.memmap:
        return np.memmap(self.folder / "pixels.bin", dtype=self.dtype, mode="r")

    @cached_property
    def _masks(self) -> np.memmap:
        return np.memmap(self.folder / "masks.bin", dtype=bool, mode="r")

    def pixels(self, film: int) -> np.ndarray:
        """(height, width) gray values of a film; (height, width, channels) of one in colour."""
        begin, end = self._offsets[film : film + 2] * self.channels
        shape = self.shapes[film] if self.channels == 1 else [*self.shapes[film], self.channels]
        return self._pixels[begin:end].reshape(shape)

    def mask(self, film: int) -> np.ndarray | None:
        """(height, width) organ mask of a film, or None where the manifest names none."""
        if not self.has_mask[film]:
            return None
        return self._masks[self._offsets[film] : self._offsets[film + 1]].reshape(self.shapes[film])

    def read_differently(self, fingerprint: str) -> str | None:
        """Words for a fingerprint that is another only because of how films are read now; None where it is not."""
        if fingerprint == self.fingerprint or fingerprint != self.files:
            return None
        rules = ", ".join(f"{rule}: {films:,}" for rule, films in sorted(self.changed.items()))
        return f"films are read differently by this version ({rules}; docs/reading.md)"

    def intensity(self, patients: Sequence[int]) -> tuple[PerChannel, PerChannel]:
        """Mean and standard deviation of the values of these patients' films, channel by channel, padding left out.

        In the films' own values: 0 .. 255, or 0 .. 65,535.
        """
        films = [film for patient in patients for film in self.films_of[patient]]
        sizes = self.film_pixels or [height * width for height, width in self.shapes]
        count = sum(sizes[film] for film in films)

        def of_channel(channel: int) -> tuple[float, float]:
            places = [film * self.channels + channel for film in films]
            mean = sum(self.sums[place] for place in places) / count
            variance = sum(self.square_sums[place] for place in places) / count - mean**2
            return mean, max(variance, 0.0) ** 0.5

        if self.channels == 1:
            return of_channel(0)
        red, green, blue = map(of_channel, range(3))
        return (red[0], green[0], blue[0]), (red[1], green[1], blue[1])


@dataclass(frozen=True, kw_only=True)
class _OneFilm(Cohort):
    """A cohort whose only film and mask are arrays, not files."""

    film: np.ndarray = field(repr=False)
    organ: np.ndarray | None = field(repr=False)

    def pixels(self, film: int) -> np.ndarray:
        return self.film

    def mask(self, film: int) -> np.ndarray | None:
        return self.organ


def one_film(pixels: np.ndarray, mask: np.ndarray | None = None, label: int = 0) -> Cohort:
    """A cohort of a single film, in memory: nothing of it reaches the disk.

    Args:
        pixels: (height, width) uint8 or uint16, or (height, width, channels) uint8.
        mask: (height, width) bool, where there is one.
    """
    return _OneFilm(
        folder=Path(),
        fingerprint="",
        dtype=str(pixels.dtype),
        shapes=[list(pixels.shape[:2])],
        film_patients=[0],
        has_mask=[mask is not None],
        labels=[label],
        splits=[None],
        sums=[],
        square_sums=[],
        channels=channels_of(pixels),
        film=pixels,
        organ=mask,
    )


def prepare(source: Source, cache: Path) -> Cohort:
    """Decode ``source`` into ``cache`` unless it lies there already, and open it.

    Films are called what the source calls them now: a table that was saved again has the same films on other lines.

    Raises:
        InputError: a radiograph or mask cannot be used; nothing is left behind.
    """
    fingerprint = source.fingerprint()
    known = patients_known(source)  # which decides whether copies are refused
    key = " ".join(map(str, [_READER, fingerprint, known, *reading_of(source).values()]))
    folder = cache / f"cohort-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not (folder / INDEX).is_file():
        _decode_into(folder, source, fingerprint)
    cohort = open_decoded(folder)
    return replace(cohort, wheres=[source.films[number].where for number in cohort.kept])


def _decode_into(folder: Path, source: Source, fingerprint: str) -> None:
    """Decode a source into a new folder, which appears whole or not at all; another process may be faster.

    Raises:
        InputError: as of ``prepare``.
    """
    cache = folder.parent
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = Path(tempfile.mkdtemp(prefix=".decoding-", dir=cache))
    except OSError as error:
        raise InputError(f"data.cache: cannot write to {cache} ({error.strerror}); name a folder you own") from None
    try:
        try:
            index = decode(source, fingerprint, scratch)
            (scratch / INDEX).write_text(json.dumps(index))
            sync(scratch)
        except OSError as error:
            raise InputError(f"data.cache: cannot write to {cache} ({error.strerror}); make room there") from None
        try:
            scratch.rename(folder)
        except OSError:
            if not (folder / INDEX).is_file():  # else another process has decoded the same, and its folder stays
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def open_decoded(folder: Path) -> Cohort:
    """Open a cohort that ``prepare`` left in ``folder``.

    Raises:
        InputError: its files are not as they were written.
    """
    try:
        cohort = Cohort(folder=folder, **json.loads((folder / INDEX).read_text()))
    except ValueError:
        raise _damaged(folder, INDEX) from None
    pixels = sum(height * width for height, width in cohort.shapes)
    masks = 0 if cohort.classes else pixels
    for name, size in (("pixels.bin", pixels * cohort.channels * cohort.depth // 8), ("masks.bin", masks)):
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise _damaged(folder, name)
    return cohort


def _damaged(folder: Path, name: str) -> InputError:
    return InputError(f"data.cache: {name} in {folder} is not what was written there; remove that folder and try again")


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/sldd-study``; decoded radiographs are patient data, so the folder is the user's alone."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sldd-study"
