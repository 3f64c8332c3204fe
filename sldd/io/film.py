"""Protocol of a source of patients, and the records that it yields: films, radiographs, organ masks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from sldd.errors import InputError

SPLITS = ("train", "validation", "test")
Colours = Literal["gray", "rgb"]
CHANNELS: dict[Colours, int] = {"gray": 1, "rgb": 3}

MAX_PIXELS = 2**26
"""A film of 8192 x 8192. The largest detectors have some 5000 pixels a side; more is a slip or an attack."""

_SMALL, _AT_A_TIME = 2**16, 2**24


@dataclass(frozen=True)
class Film:
    """One radiograph of a source: its patient (a number), that patient's label, split if fixed, place.

    ``where`` names it in messages without naming the patient: "manifest.csv line 17". ``findings`` has a value for each
    of the source's classes, 0, 1 or NaN where it is not known; the label of a film with findings is 1 where it has any.
    """

    patient: int
    label: int
    split: str | None
    where: str
    findings: tuple[float, ...] = ()


@dataclass(frozen=True)
class Radiograph:
    """Pixels of one film, and its reader's notes."""

    pixels: np.ndarray
    """(height, width) uint8 or uint16; (height, width, 3) uint8 in colour."""
    padding: np.ndarray | None = field(default=None, repr=False)
    """(height, width) bool: pixels that are no part of the film, 0 in ``pixels``; None where there are none."""
    changed: tuple[str, ...] = ()
    """Rules of ``docs/reading.md`` under which ``DECODING`` 1 gave other pixels; they enter a cohort's fingerprint."""
    notes: tuple[str, ...] = ()
    """What looks wrong and is read all the same."""
    as_shown: bool = False
    """Whether the pixels' whole range is that from black to white as a viewer shows it, as of DICOM films."""
    coloured: bool = False
    """Whether the file is in colour and ``pixels`` are its brightness."""


@dataclass(frozen=True)
class OrganMask:
    """The organ on one film, and its reader's notes; see ``Radiograph``."""

    inside: np.ndarray
    """(height, width) bool."""
    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """Where a cohort's radiographs and labels are read from."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the findings; empty where patients have one label instead."""
        ...

    @property
    def smallest_class(self) -> int | None:
        """Clean up findings: one film of several with the same pixels, classes with at least so many films."""
        ...

    @property
    def films(self) -> Sequence[Film]:
        """All radiographs."""
        ...

    @property
    def patient_ids(self) -> Sequence[str]:
        """Identifiers as the source has them, sorted; they never leave the driver."""
        ...

    def fingerprint(self) -> str:
        """Hash over all that decides the decoded pixels, masks, labels and splits."""
        ...

    def read(self, film: int) -> tuple[np.ndarray | Radiograph, np.ndarray | OrganMask | None]:
        """(height, width) uint8 or uint16 pixels or (height, width, 3) uint8 ones, alike in all films, and a bool mask
        of their height and width or None where there is none."""
        ...


class ChannelsError(InputError):
    """A film is gray where colour is read, or the other way round."""


class VolumeError(InputError):
    """A file has several slices, and none is chosen."""


def channels_of(pixels: np.ndarray) -> int:
    """1 of (height, width) pixels, else the third of (height, width, channels)."""
    return 1 if pixels.ndim == 2 else pixels.shape[2]


def by_channel(values: np.ndarray, channels: int) -> list[np.ndarray]:
    """The values of each channel, which are the last dimension where there are several; views."""
    return [values] if channels == 1 else [values[..., channel] for channel in range(channels)]


def count_values(pixels: np.ndarray) -> np.ndarray:
    """Histogram: how many pixels have each value, from 0 up.

    Args:
        pixels: uint8 or uint16, of any shape.
    """
    if pixels.dtype == np.uint8 and pixels.ndim == 2 and pixels.size > _SMALL:
        return np.array(Image.fromarray(pixels).histogram(), np.int64)  # several times as fast as NumPy's
    flat = pixels.ravel()
    values = 1 << 8 * pixels.itemsize
    counts = np.bincount(flat[:_AT_A_TIME], minlength=values)  # makes eight bytes of each pixel
    for begin in range(_AT_A_TIME, flat.size, _AT_A_TIME):
        counts += np.bincount(flat[begin : begin + _AT_A_TIME], minlength=values)
    return counts


def slice_number(place: float, count: int) -> int:
    """Which of ``count`` slices lies at ``place``: 0 the first, 1 the last, 0.5 the middle one (``count // 2``)."""
    return min(int(place * count), count - 1)


def reading_of(source: Source) -> dict[str, float]:
    """How a source reads films, where it does so: ``slice``, its place in volumes, and ``film_size``, the most pixels a
    side that films are kept at. Cohorts and packages have both, so that receivers read theirs alike."""
    found = {name: getattr(source, name, None) for name in ("slice", "film_size")}
    return {name: value for name, value in found.items() if value is not None}


UNREADABLE = "unreadable"
HEAD = 132
"""Bytes from which the format of a film is told."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file; a word where it cannot be read (``prepare`` then says which line names it)."""
    return digest_and_head(path)[0]


def digest_and_head(path: Path) -> tuple[str, bytes]:
    """As of ``file_digest``, and the first bytes of the file."""
    try:
        if not path.is_file():
            return UNREADABLE, b""  # a pipe or a device would keep us waiting
        with path.open("rb") as file:
            head = file.peek(HEAD)[:HEAD]
            return hashlib.file_digest(file, "sha256").hexdigest(), head
    except OSError:
        return UNREADABLE, b""
