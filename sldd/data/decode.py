"""Decode a source's films into one file of pixels and one of masks, and collect the cohort's metadata."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sldd.data.deduplicate import Cleaning, Copies
from sldd.data.oddities import FilmStats, film_stats, find_oddities
from sldd.errors import InputError
from sldd.io.film import (
    ChannelsError,
    Film,
    OrganMask,
    Radiograph,
    Source,
    by_channel,
    channels_of,
    count_values,
    reading_of,
)


def decode(source: Source, files: str, folder: Path) -> dict[str, Any]:
    """Write ``pixels.bin`` and ``masks.bin`` into ``folder``.

    Args:
        files: the source's fingerprint.

    Returns:
        The fields of a ``Cohort`` but for its folder, as plain values.

    Raises:
        InputError: a radiograph or mask cannot be used.
    """
    cleaning = Cleaning(source.classes, source.smallest_class, patients_known=patients_known(source))
    with (folder / "pixels.bin").open("wb") as pixel_file, (folder / "masks.bin").open("wb") as mask_file:
        writer = _FilmWriter(pixel_file)
        for number, film in enumerate(source.films):
            radiograph, organ = _read(source, number, film)
            if not writer.add(number, film, radiograph, organ, cleaning):
                continue
            if not source.classes:
                shape = radiograph.pixels.shape[:2]
                # A film without a mask takes as much room, so that one offset finds a film in both files.
                inside = np.zeros(shape, bool) if organ is None else np.ascontiguousarray(organ.inside)
                mask_file.write(inside.data)
    classes, films, notes = cleaning.finish()
    labels, splits = _by_patient(films, len(source.patient_ids))
    return {
        "fingerprint": writer.fingerprint(files),
        "dtype": str(writer.dtype),
        "shapes": writer.shapes,
        "film_patients": [film.patient for film in films],
        "has_mask": writer.has_mask,
        "labels": labels,
        "splits": splits,
        "sums": writer.sums,
        "square_sums": writer.square_sums,
        "classes": classes,
        "findings": _plain_findings(films) if classes else [],
        "left_out": notes,
        "film_pixels": writer.film_pixels,
        "ranges": writer.ranges,
        "kept": writer.kept,
        "wheres": [film.where for film in films],
        "oddities": writer.oddities(),
        "files": files,
        "changed": dict(Counter(rule for _, rules in writer.changed for rule in rules)),
        # Of gray films the index is what it was, which older versions read too.
        **({"channels": writer.channels} if writer.channels > 1 else {}),
        **reading_of(source),
    }


def patients_known(source: Source) -> bool:
    """Whether a source says of whom its films are; where it does not, copies say nothing of their patients."""
    return getattr(source, "patients_known", True)


class _GrayValues(NamedTuple):
    """The values of one film, padding left out."""

    levels: np.ndarray
    """(levels,) the different values, rising."""
    counts: np.ndarray
    """(levels,) how often each is there, in all channels together."""
    sums: list[int]
    """Of the values of each channel."""
    square_sums: list[int]
    """Of their squares."""


def _gray_values(shown: np.ndarray, channels: int) -> _GrayValues:
    """The values of a film's pixels.

    Sums are exact integers, of less than 63 bits: the standardisation must not depend on a summation order.

    Args:
        shown: (height, width) or, with the padding cut out, (pixels,); in colour with a last dimension of channels.
    """
    histograms = np.stack([count_values(values) for values in by_channel(shown, channels)])  # (channels, values)
    counts = histograms.sum(axis=0)
    levels = np.flatnonzero(counts)
    weighted = histograms[:, levels] * levels
    return _GrayValues(levels, counts[levels], weighted.sum(axis=1).tolist(), (weighted @ levels).tolist())


class _FilmWriter:
    """Writes the pixels of films one after the other, and collects the metadata of those that are kept.

    A film's *place* is its number among those that are kept.
    """

    def __init__(self, pixel_file: BinaryIO) -> None:
        self._file = pixel_file
        self._starts = [0]
        """Byte of the file at which each place begins, and where the next one will."""
        self._copies = Copies()
        self._stats: list[FilmStats] = []
        self._notes: dict[str, list[int]] = {}
        """Notes of readers, each with the places of its films."""
        self.dtype: np.dtype | None = None
        self.channels = 0
        self.kept: list[int] = []
        self.shapes: list[list[int]] = []
        self.has_mask: list[bool] = []
        self.sums: list[float] = []
        self.square_sums: list[float] = []
        self.film_pixels: list[int] = []
        self.ranges: list[list[int]] = []
        self.changed: list[tuple[int, tuple[str, ...]]] = []
        """The source's numbers of films that are read otherwise than by ``DECODING`` 1, and by which rules."""

    def add(self, number: int, film: Film, radiograph: Radiograph, organ: OrganMask | None, cleaning: Cleaning) -> bool:
        """Write a film's pixels; False where it is a copy of an earlier one, and left out.

        Args:
            number: the film's, in the source.

        Raises:
            InputError: mask and film do not fit, the film is of another depth or of other channels than the others, or
                of another patient.
        """
        pixels = np.ascontiguousarray(radiograph.pixels)
        self._check(film, pixels, organ)
        shown = pixels if radiograph.padding is None else pixels[~radiograph.padding]
        values = _gray_values(shown, self.channels)
        place = len(self.shapes)
        copy_of = None
        if len(values.levels) > 1:  # a flat film is the same as every other flat one, and is named as such
            sums = (*values.sums, *values.square_sums)
            copy_of = self._copies.earlier(place, pixels, sums, self._stored)
        if not cleaning.keep(film, copy_of):
            return False
        self._starts.append(self._starts[-1] + self._file.write(pixels.data))
        for part in (radiograph, organ):
            if part is None:
                continue
            if part.changed:
                self.changed.append((number, part.changed))
            for note in part.notes:
                self._notes.setdefault(note, []).append(place)
        self.kept.append(number)
        self.shapes.append(list(pixels.shape[:2]))
        self.has_mask.append(organ is not None)
        self.sums += map(float, values.sums)
        self.square_sums += map(float, values.square_sums)
        self.film_pixels.append(shown.size // self.channels)
        self.ranges.append([int(values.levels[0]), int(values.levels[-1])])
        self._stats.append(film_stats(pixels, values.levels, values.counts))
        return True

    def fingerprint(self, files: str) -> str:
        """The cohort's: the source's own (``files``), unless films are read otherwise than by ``DECODING`` 1."""
        return hashlib.sha256(json.dumps([files, self.changed]).encode()).hexdigest() if self.changed else files

    def oddities(self) -> list[list[Any]]:
        """What is odd, in words, each with the places of its films."""
        return [list(each) for each in (*self._notes.items(), *find_oddities(self._stats))]

    def _check(self, film: Film, pixels: np.ndarray, organ: OrganMask | None) -> None:
        if organ is not None and organ.inside.shape != pixels.shape[:2]:
            mask = organ.inside
            raise InputError(
                f"{film.where}: the mask is {mask.shape[1]} x {mask.shape[0]} and the image "
                f"{pixels.shape[1]} x {pixels.shape[0]} pixels; draw the mask on the image itself"
            )
        self.dtype = self.dtype or pixels.dtype
        if pixels.dtype != self.dtype:
            raise InputError(
                f"{film.where}: 8-bit and deeper images in one cohort have no common gray scale; "
                "convert all of them to one bit depth"
            )
        self.channels = self.channels or channels_of(pixels)
        if channels_of(pixels) != self.channels:
            raise InputError(
                f"{film.where}: an image of {channels_of(pixels)} channels, and those before have {self.channels}; "
                "convert all of them to gray or to RGB"
            )

    def _stored(self, place: int) -> np.ndarray:
        """The pixels that were written at a place."""
        self._file.flush()
        start, end = self._starts[place : place + 2]
        with Path(self._file.name).open("rb") as file:
            file.seek(start)
            pixels = np.frombuffer(file.read(end - start), self.dtype)
        return pixels.reshape(*self.shapes[place], *(() if self.channels == 1 else (self.channels,)))


def _read(source: Source, number: int, film: Film) -> tuple[Radiograph, OrganMask | None]:
    try:
        pixels, mask = source.read(number)
    except ChannelsError as error:
        raise InputError(f"{film.where}: {error}; save it in colour (RGB), or set data.channels=gray") from None
    except InputError as error:
        raise InputError(f"{film.where}: {error}") from None
    return (
        pixels if isinstance(pixels, Radiograph) else Radiograph(pixels),
        mask if mask is None or isinstance(mask, OrganMask) else OrganMask(mask),
    )


def _plain_findings(films: Sequence[Film]) -> list[list[float | None]]:
    """Findings of each film as JSON can have them: None, and not NaN, where they are not known."""
    return [[None if isnan(value) else value for value in film.findings] for film in films]


def _by_patient(films: Sequence[Film], patients: int) -> tuple[list[int], list[str | None]]:
    """Label and split of each patient; the label is the highest of the patient's films: 1 where any has a finding."""
    labels: list[int] = [0] * patients
    splits: list[str | None] = [None] * patients
    for film in films:
        labels[film.patient] = max(labels[film.patient], film.label)
        splits[film.patient] = film.split
    return labels, splits
