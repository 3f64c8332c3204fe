"""Score a receiver's patients by their patch votes, one radiograph in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sldd.data.cohort import one_film
from sldd.data.patches import CLASSES, Patches
from sldd.errors import InputError
from sldd.io.dicom.reader import NoImageError
from sldd.io.film import Radiograph
from sldd.metrics.patient_votes import Operating, Votes, count_votes, operate
from sldd.ops.layout import to_channels_last
from sldd.ops.pixels import at_once
from sldd.ops.windows import window_starts
from sldd.package.apply.films import FilmFile, Patient, at_depth, read_film
from sldd.package.apply.remarks import FilmLook, Remarks
from sldd.package.format.header import Header

MOST_WINDOWS = 250_000
"""Patches of one radiograph; the papers cut 1,225."""


@dataclass(frozen=True)
class Unread:
    """A radiograph that could not be scored."""

    patient: int
    """Its patient's row."""
    film: FilmFile
    words: str
    """Where and why."""
    no_image: bool
    """It is a DICOM file of something else, such as a report."""


@dataclass(frozen=True)
class Scored:
    """Votes of all patients (label 0 where there is none), the radiographs that cast them, and how long it took."""

    votes: Votes
    radiographs: int
    seconds: float
    unread: tuple[Unread, ...] = ()
    remarks: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """What looks wrong with radiographs that were scored, where, and the rows of their patients."""
    read: tuple[int, ...] = ()
    """Radiographs of each patient that were scored."""
    looks: tuple[FilmLook, ...] = ()
    """Sizes and values of the radiographs that were scored."""
    cast: tuple[tuple[FilmFile, int, np.ndarray], ...] = ()
    """Each radiograph that was scored, its patient's row, and its votes."""

    @property
    def speed(self) -> float:
        """Radiographs a second."""
        return self.radiographs / self.seconds


@torch.no_grad()
def score(
    network: nn.Module,
    header: Header,
    patients: Sequence[Patient],
    *,
    batch: int,
    device: torch.device,
    done: Callable[[], object] = lambda: None,
    tolerant: bool = False,
) -> Scored:
    """Count the votes of every patch of every radiograph.

    Args:
        network: as ``rebuild`` gives it.
        header: of the package.
        batch: patches in memory at a time; fewer of large ones, and halved where a GPU has no room for them.
        done: called after every radiograph.
        tolerant: go on where a radiograph cannot be used, as long as another one can.

    Raises:
        InputError: a radiograph cannot be read, or is not of the package's depth or size.
    """
    network = to_channels_last(network.to(device))
    begun = time.perf_counter()
    cast: list[tuple[FilmFile, int, np.ndarray]] = []
    unread: list[Unread] = []
    remarks = Remarks(header)
    for row, patient in enumerate(patients):
        for film in patient.films:
            try:
                radiograph = read_film(film, header.channels, header.slice)
                patches = cut(film, radiograph, header)
            except InputError as error:
                if not tolerant:
                    raise
                unread.append(Unread(row, film, str(error), isinstance(error, NoImageError)))
                done()
                continue
            votes, batch = _film_votes(network, patches, header, batch, device)
            remarks.add(row, film, radiograph, patches.cohort.pixels(0))
            cast.append((film, row, votes))
            done()
    labels, seconds = np.array([patient.label or 0 for patient in patients]), time.perf_counter() - begun
    return counted(cast, labels, seconds, unread, remarks.found(), remarks.looks)


def _film_votes(
    network: nn.Module, patches: Patches, header: Header, batch: int, device: torch.device
) -> tuple[np.ndarray, int]:
    """(3,) votes of one radiograph's patches, and the patches that may be in memory at a time from here on.

    That is ``batch``, halved until a GPU has room.
    """
    side = max(patches.geometry(0, scoring=True)[0], header.patches.input_size)
    while True:
        most = at_once(batch, header.channels, side)
        try:
            found = count_votes(network, patches, [0], batch=most, device=device)
            return found.counts[0].astype(np.int64), batch
        except torch.OutOfMemoryError:
            if most == 1:
                raise InputError("no room for a single patch on the GPU; use --device cpu") from None
            batch = (most + 1) // 2


def counted(
    cast: Sequence[tuple[FilmFile, int, np.ndarray]],
    labels: np.ndarray,
    seconds: float,
    unread: Sequence[Unread],
    remarks: Sequence[tuple[str, tuple[int, ...]]],
    looks: Sequence[FilmLook] = (),
) -> Scored:
    """Votes of radiographs, added patient by patient.

    Args:
        cast: as of ``Scored``.
        labels: of all patients.

    Raises:
        InputError: no radiograph could be scored.
    """
    if unread and not cast:
        more = f" (and {len(unread) - 1:,} more)" if len(unread) > 1 else ""
        raise InputError(unread[0].words + more)
    counts, read = np.zeros((len(labels), len(CLASSES)), np.int64), [0] * len(labels)
    for _, row, votes in cast:
        counts[row] += votes
        read[row] += 1
    found = Votes(list(range(len(labels))), labels, counts, np.zeros((len(CLASSES),) * 2, np.int64))
    return Scored(found, len(cast), seconds, tuple(unread), tuple(remarks), tuple(read), tuple(looks), tuple(cast))


def labelled(scored: Scored, patients: Sequence[Patient]) -> Votes | None:
    """Votes of the scored patients whose label is known; None where there are none."""
    votes = scored.votes
    rows = [row for row, patient in enumerate(patients) if patient.label is not None and scored.read[row]]
    if not rows:
        return None
    return Votes(rows, votes.labels[rows], votes.counts[rows], votes.confusion)


def measured(votes: Votes, delta: float) -> dict[str, float | None]:
    """Sensitivity, specificity, HM and AUC."""
    at: Operating = operate(votes, delta)
    return {"sensitivity": at.sensitivity, "specificity": at.specificity, "hm": at.hm, "auc": votes.auc}


def film_patches(film: FilmFile, header: Header) -> Patches:
    """The patches of one radiograph, by the package's settings.

    Raises:
        InputError: as of ``score``.
    """
    return cut(film, read_film(film, header.channels, header.slice), header)


def cut(film: FilmFile, radiograph: Radiograph, header: Header) -> Patches:
    """The patches of a radiograph that was read; see ``film_patches``."""
    pixels = at_depth(radiograph, header.depth)
    if pixels is None:
        raise InputError(
            f"{film.where}: 16 bit, and the package was made for radiographs of {header.depth} bit; convert "
            "them as its maker did"
        )
    try:
        patches = Patches(one_film(pixels), header.patches, header.mean, header.deviation)
    except InputError as error:
        raise InputError(f"{film.where}: {error}") from None
    size, stride = patches.geometry(0, scoring=True)
    rows, columns = (len(window_starts(side, size, stride)) for side in pixels.shape[:2])
    if rows * columns > MOST_WINDOWS:
        raise InputError(
            f"{film.where}: {rows * columns:,} patches at the package's stride of {stride} pixels; "
            f"{MOST_WINDOWS:,} are allowed"
        )
    return patches
