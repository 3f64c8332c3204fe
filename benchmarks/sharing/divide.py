"""One cohort as several hospitals: who is where, and how each takes its films."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from sldd.data.cohort import Cohort, prepare
from sldd.errors import InputError
from sldd.io.film import Radiograph, Source
from sldd.rng import stream

SHIFTS = ("even", "prevalence", "exposure", "device")
GAMMAS = (0.7, 1.4)
"""Of the first and the last hospital's films: 255 (v / 255) ** gamma."""
SHARES = (0.2, 0.8)
"""Of positive patients in the first and the last hospital, relative to each other, where prevalence differs."""
BLURS, NOISES = (0.006, 0.0), (0.0, 0.04)
"""Of the first and the last hospital's films: deviations of a Gaussian, in shares of the shorter side, and of white."""
_DEVICES: dict[str, dict[str, tuple[float, float]]] = {
    "exposure": {"gamma": GAMMAS},
    "device": {"blur": BLURS, "noise": NOISES},
}
"""By shift, what hospitals' devices differ in; they are alike under the others."""


def define(shift: str) -> dict[str, Any]:
    """What a shift stands for, from the first hospital to the last."""
    return _DEVICES.get(shift, {}) | ({"shares": SHARES} if shift == "prevalence" else {})


@dataclass(frozen=True)
class Device:
    """How a hospital takes films: gamma, then blur, then noise, measured as ``GAMMAS``, ``BLURS`` and ``NOISES``."""

    gamma: float = 1.0
    blur: float = 0.0
    noise: float = 0.0

    def take(self, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(height, width) pixels as this device shows them; the same ones where it changes nothing."""
        white, shown = np.iinfo(pixels.dtype).max, pixels
        if self.gamma != 1:
            shown = white * (shown / white) ** self.gamma
        if self.blur:
            shown = gaussian_filter(shown.astype(np.float64), self.blur * min(shown.shape))
        if self.noise:
            shown = shown + self.noise * white * random.standard_normal(shown.shape)
        return pixels if shown is pixels else np.rint(shown).clip(0, white).astype(pixels.dtype)


class HospitalSource:
    """Some patients of a source, with a split and a device each.

    Args:
        source: all patients, with one label each.
        parts: split and device of each patient that is taken, by number.
    """

    classes: Sequence[str] = ()
    smallest_class = None

    def __init__(self, source: Source, parts: dict[int, tuple[str, Device]]) -> None:
        self._source, chosen = source, sorted(parts)
        number = {patient: place for place, patient in enumerate(chosen)}
        self._films = [film for film, each in enumerate(source.films) if each.patient in number]
        self._devices = [parts[source.films[film].patient][1] for film in self._films]
        self.patient_ids = [source.patient_ids[patient] for patient in chosen]
        self.films = [
            replace(each, patient=number[each.patient], split=parts[each.patient][0])
            for each in (source.films[film] for film in self._films)
        ]
        self._parts = parts

    def fingerprint(self) -> str:
        """SHA-256 over that of the whole, and parts."""
        return hashlib.sha256(f"{self._source.fingerprint()} {sorted(self._parts.items())}".encode()).hexdigest()

    def read(self, film: int) -> Any:
        """One film, as its hospital takes it."""
        number = self._films[film]
        pixels, mask = self._source.read(number)
        shown = pixels.pixels if isinstance(pixels, Radiograph) else pixels
        return self._devices[film].take(shown, stream(0, "device", number)), mask


@dataclass(frozen=True)
class Division:
    """Patients by number: those of each hospital who train and validate, those who are tested, and devices of all."""

    train: list[list[int]]
    validation: list[list[int]]
    test: list[int]
    devices: dict[int, Device]


def labels_of(source: Source) -> list[int]:
    """The label of each patient, positive where one of the films is, as in a cohort."""
    labels = [0] * len(source.patient_ids)
    for film in source.films:
        labels[film.patient] = max(labels[film.patient], film.label)
    return labels


def divide(labels: Sequence[int], hospitals: int, shift: str, seed: int = 0, tested: float = 0.4) -> Division:
    """Divide patients, by a seed; which are tested, and by which device, does not depend on it, nor the former on how
    many hospitals there are.

    Raises:
        InputError: a hospital has too few patients of a label to train and to validate.
    """
    train: list[list[int]] = [[] for _ in range(hospitals)]
    validation: list[list[int]] = [[] for _ in range(hospitals)]
    test: list[int] = []
    devices: dict[int, Device] = {}
    levels = {name: np.linspace(*ends, hospitals).tolist() for name, ends in _DEVICES.get(shift, {}).items()}
    own = [Device(**{name: values[number] for name, values in levels.items()}) for number in range(hospitals)]
    for label in (0, 1):
        order = stream(0, "hospitals", label).permutation(np.flatnonzero(np.array(labels) == label)).tolist()
        count = round(tested * len(order))
        order[count:] = stream(seed, "hospitals", "who", label).permutation(order[count:]).tolist()
        test += order[:count]
        devices |= {patient: own[turn % hospitals] for turn, patient in enumerate(order[:count])}
        shares = np.linspace(*(SHARES if label else SHARES[::-1]), hospitals)
        shares = shares if shift == "prevalence" else np.ones(hospitals)
        ends = np.rint(np.cumsum(shares) / shares.sum() * (len(order) - count)).astype(int) + count
        for number, (begin, end) in enumerate(zip([count, *ends[:-1]], ends, strict=True)):
            group = order[begin:end]
            if len(group) < 2:
                raise InputError(
                    f"{hospitals} hospitals: one has {len(group)} patients of label {label}; ask for fewer"
                )
            held = max(1, round(0.2 * len(group)))
            validation[number] += group[:held]
            train[number] += group[held:]
            devices |= dict.fromkeys(group, own[number])
    return Division(train, validation, sorted(test), devices)


def cohort_of(source: Source, division: Division, hospitals: Sequence[int], cache: Path) -> Cohort:
    """Patients of these hospitals who train and validate, with the test patients."""
    parts = {patient: ("test", division.devices[patient]) for patient in division.test}
    for name, groups in (("train", division.train), ("validation", division.validation)):
        parts |= {patient: (name, division.devices[patient]) for number in hospitals for patient in groups[number]}
    return prepare(HospitalSource(source, parts), cache)
