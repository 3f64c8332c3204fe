"""A cohort: patients, their radiographs, organ masks and labels, decoded once a machine and memory-mapped by all.

A source (``sldd/sources``) says what there is; ``prepare`` decodes it into one file of pixels and one of masks, named
by the fingerprint of the data. Trials open those files read-only, so a second trial on a machine costs no memory.
Nothing here carries a patient's identifier: patients are numbers, in the order of their sorted identifiers.

Patients have one label, or their films have findings: one of {0, 1, not known} a class; such films have no masks.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from sldd.data.deduplicate import Cleaning
from sldd.errors import InputError
from sldd.io.film import Film, Source

INDEX = "index.json"


@dataclass(frozen=True)
class Cohort:
    """Decoded radiographs in the folder ``folder``; arrays are read-only views of memory-mapped files."""

    folder: Path
    fingerprint: str
    dtype: str
    shapes: list[list[int]]
    film_patients: list[int]
    has_mask: list[bool]
    labels: list[int]
    splits: list[str | None]
    sums: list[float] = field(repr=False)
    square_sums: list[float] = field(repr=False)
    classes: list[str] = field(default_factory=list)
    """What can be found on a film; empty where patients have one label instead."""
    findings: list[list[float | None]] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list)
    """What was left out of the source, and why."""

    @property
    def patients(self) -> int:
        return len(self.labels)

    @property
    def depth(self) -> Literal[8, 16]:
        """Bits of a gray value."""
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
        return np.concatenate([[0], np.cumsum([height * width for height, width in self.shapes])])

    @cached_property
    def _pixels(self) -> np.memmap:
        return np.memmap(self.folder / "pixels.bin", dtype=self.dtype, mode="r")

    @cached_property
    def _masks(self) -> np.memmap:
        return np.memmap(self.folder / "masks.bin", dtype=bool, mode="r")

    def pixels(self, film: int) -> np.ndarray:
        """(height, width) gray values of a film."""
        return self._pixels[self._offsets[film] : self._offsets[film + 1]].reshape(self.shapes[film])

    def mask(self, film: int) -> np.ndarray | None:
        """(height, width) organ mask of a film, or None where the manifest names none."""
        if not self.has_mask[film]:
            return None
        return self._masks[self._offsets[film] : self._offsets[film + 1]].reshape(self.shapes[film])

    def intensity(self, patients: Sequence[int]) -> tuple[float, float]:
        """Mean and standard deviation of the gray values of these patients' films."""
        films = [film for patient in patients for film in self.films_of[patient]]
        count = sum(self.shapes[film][0] * self.shapes[film][1] for film in films)
        mean = sum(self.sums[film] for film in films) / count
        variance = sum(self.square_sums[film] for film in films) / count - mean**2
        return mean, max(variance, 0.0) ** 0.5


@dataclass(frozen=True, kw_only=True)
class _OneFilm(Cohort):
    film: np.ndarray = field(repr=False)
    organ: np.ndarray | None = field(repr=False)

    def pixels(self, film: int) -> np.ndarray:
        return self.film

    def mask(self, film: int) -> np.ndarray | None:
        return self.organ


def one_film(pixels: np.ndarray, mask: np.ndarray | None = None, label: int = 0) -> Cohort:
    """A cohort of a single film, in memory: nothing of it reaches the disk.

    Args:
        pixels: (height, width) uint8 or uint16.
        mask: (height, width) bool, where there is one.
    """
    return _OneFilm(
        folder=Path(),
        fingerprint="",
        dtype=str(pixels.dtype),
        shapes=[list(pixels.shape)],
        film_patients=[0],
        has_mask=[mask is not None],
        labels=[label],
        splits=[None],
        sums=[],
        square_sums=[],
        film=pixels,
        organ=mask,
    )


def prepare(source: Source, cache: Path) -> Cohort:
    """Decode ``source`` into ``cache`` unless it lies there already, and open it.

    Raises:
        InputError: a radiograph or mask cannot be used; nothing is left behind.
    """
    fingerprint = source.fingerprint()
    folder = cache / f"cohort-{fingerprint[:16]}"
    if not (folder / INDEX).is_file():
        try:
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = Path(tempfile.mkdtemp(prefix=".decoding-", dir=cache))
        except OSError as error:
            raise InputError(f"data.cache: cannot write to {cache} ({error.strerror}); name a folder you own") from None
        try:
            try:
                _decode(source, fingerprint, scratch)
            except OSError as error:
                raise InputError(f"data.cache: cannot write to {cache} ({error.strerror}); make room there") from None
            try:
                scratch.rename(folder)
            except OSError:
                if not (folder / INDEX).is_file():  # another process was faster, unless it was not
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return open_cohort(folder)


def open_cohort(folder: Path) -> Cohort:
    """Open a cohort that ``prepare`` left in ``folder``."""
    index = json.loads((folder / INDEX).read_text())
    return Cohort(folder=folder, **index)


def _decode(source: Source, fingerprint: str, folder: Path) -> None:
    shapes, has_mask, sums, square_sums = [], [], [], []
    depths: set[str] = set()
    cleaning = Cleaning(source.classes, source.smallest_class)
    with (folder / "pixels.bin").open("wb") as pixel_file, (folder / "masks.bin").open("wb") as mask_file:
        for number, film in enumerate(source.films):
            try:
                pixels, mask = source.read(number)
            except InputError as error:
                raise InputError(f"{film.where}: {error}") from None
            if mask is not None and mask.shape != pixels.shape:
                raise InputError(
                    f"{film.where}: the mask is {mask.shape[1]} x {mask.shape[0]} and the image "
                    f"{pixels.shape[1]} x {pixels.shape[0]} pixels; draw the mask on the image itself"
                )
            depths.add(str(pixels.dtype))
            if len(depths) > 1:
                raise InputError(
                    f"{film.where}: 8-bit and deeper images in one cohort have no common gray scale; "
                    "convert all of them to one bit depth"
                )
            if not cleaning.keep(film, pixels):
                continue
            pixel_file.write(np.ascontiguousarray(pixels).tobytes())
            if not source.classes:
                mask_file.write(
                    (np.zeros(pixels.shape, bool) if mask is None else np.ascontiguousarray(mask)).tobytes()
                )
            shapes.append(list(pixels.shape))
            has_mask.append(mask is not None)
            # Exact integer sums: the standardisation must not depend on a summation order.
            counts = np.bincount(pixels.ravel()).astype(object)
            values = np.arange(len(counts)).astype(object)
            sums.append(float((counts * values).sum()))
            square_sums.append(float((counts * values * values).sum()))
    classes, films, notes = cleaning.finish()
    labels, splits = _by_patient(films, len(source.patient_ids))
    index = Cohort(
        folder=folder,
        fingerprint=fingerprint,
        dtype=depths.pop(),
        shapes=shapes,
        film_patients=[film.patient for film in films],
        has_mask=has_mask,
        labels=labels,
        splits=splits,
        sums=sums,
        square_sums=square_sums,
        classes=classes,
        findings=[[None if value != value else value for value in film.findings] for film in films] if classes else [],
        notes=notes,
    )
    (folder / INDEX).write_text(json.dumps({k: v for k, v in asdict(index).items() if k != "folder"}))


def _by_patient(films: Sequence[Film], patients: int) -> tuple[list[int], list[str | None]]:
    labels: list[int] = [0] * patients
    splits: list[str | None] = [None] * patients
    for film in films:
        labels[film.patient] = max(labels[film.patient], film.label)
        splits[film.patient] = film.split
    return labels, splits


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/sldd-study``; decoded radiographs are patient data, so the folder is the user's alone."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sldd-study"
