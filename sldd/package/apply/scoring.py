"""A package at work: the patch votes of a receiver's patients, one radiograph in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sldd.data.patches import CLASSES, Patches, window_starts
from sldd.errors import InputError
from sldd.metrics.patient_votes import Operating, Votes, count_votes, operate
from sldd.package.apply.films import FilmFile, Patient, read_film
from sldd.package.format.header import Facts

MOST_WINDOWS = 250_000
"""Patches of one radiograph; the papers cut 1,225."""


@dataclass(frozen=True)
class Scored:
    """Votes of all patients (label 0 where there is none), the radiographs that cast them, and how long it took."""

    votes: Votes
    radiographs: int
    seconds: float

    @property
    def speed(self) -> float:
        """Radiographs a second."""
        return self.radiographs / self.seconds


@torch.no_grad()
def score(
    network: nn.Module,
    facts: Facts,
    patients: Sequence[Patient],
    *,
    batch: int,
    device: torch.device,
    done: Callable[[], object] = lambda: None,
) -> Scored:
    """Let every patch of every radiograph vote.

    Args:
        network: as ``rebuild`` gives it.
        facts: of the package.
        batch: patches in memory at a time; halved where a GPU has no room for them.
        done: called after every radiograph.

    Raises:
        InputError: a radiograph cannot be read, or is not of the package's depth or size.
    """
    network = network.to(device)
    counts = np.zeros((len(patients), len(CLASSES)), np.int64)
    begun, radiographs = time.perf_counter(), 0
    for row, patient in enumerate(patients):
        for film in patient.films:
            patches = film_patches(film, facts)
            while True:
                try:
                    found = count_votes(network, patches, [0], batch=batch, device=device)
                    break
                except torch.OutOfMemoryError:
                    if batch == 1:
                        raise InputError("no room for a single patch on the GPU; use --device cpu") from None
                    batch = (batch + 1) // 2
            counts[row] += found.counts[0].astype(np.int64)
            radiographs += 1
            done()
    labels = np.array([patient.label or 0 for patient in patients])
    votes = Votes(list(range(len(patients))), labels, counts, np.zeros((len(CLASSES),) * 2, np.int64))
    return Scored(votes, radiographs, time.perf_counter() - begun)


def labelled(votes: Votes, patients: Sequence[Patient]) -> Votes | None:
    """The votes of patients whose label is known; None where it is of nobody."""
    rows = [row for row, patient in enumerate(patients) if patient.label is not None]
    if not rows:
        return None
    return Votes(rows, votes.labels[rows], votes.counts[rows], votes.confusion)


def measured(votes: Votes, delta: float) -> dict[str, float | None]:
    """Sensitivity, specificity, HM and AUC."""
    at: Operating = operate(votes, delta)
    return {"sensitivity": at.sensitivity, "specificity": at.specificity, "hm": at.hm, "auc": votes.auc}


def film_patches(film: FilmFile, facts: Facts) -> Patches:
    """The patches of one radiograph, as the package cuts them.

    Raises:
        InputError: as of ``score``.
    """
    cohort = read_film(film)
    if cohort.depth != facts.depth:
        raise InputError(
            f"{film.where}: {cohort.depth} bit, and the package was made for radiographs of {facts.depth} bit; convert "
            "them as its maker did"
        )
    try:
        patches = Patches(cohort, facts.patches, facts.mean, facts.deviation)
    except InputError as error:
        raise InputError(f"{film.where}: {error}") from None
    size, stride = patches.geometry(0, scoring=True)
    rows, columns = (len(window_starts(side, size, stride)) for side in cohort.shapes[0])
    if rows * columns > MOST_WINDOWS:
        raise InputError(
            f"{film.where}: {rows * columns:,} patches at the package's stride of {stride} pixels; "
            f"{MOST_WINDOWS:,} are allowed"
        )
    return patches
