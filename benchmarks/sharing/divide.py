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
from sldd.io.film import Film, Radiograph, Source
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
"""By shift, the settings of ``Device`` that hospitals differ in; under the others their devices are alike."""


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
        self._source, self._parts = source, parts
        numbers = {patient: number for number, patient in enumerate(sorted(parts))}  # old -> new
        self.patient_ids = [source.patient_ids[patient] for patient in numbers]
        self._in_source = [place for place, film in enumerate(source.films) if film.patient in parts]
        self._devices: list[Device] = []
        self.films: list[Film] = []
        for place in self._in_source:
            film = source.films[place]
            split, device = parts[film.patient]
            self._devices.append(device)
            self.films.append(replace(film, patient=numbers[film.patient], split=split))

    def fingerprint(self) -> str:
        """SHA-256 over the fingerprint of the whole source and the parts."""
        return hashlib.sha256(f"{self._source.fingerprint()} {sorted(self._parts.items())}".encode()).hexdigest()

    def read(self, film: int) -> Any:
        """One film, as its hospital takes it."""
        place = self._in_source[film]
        pixels, mask = self._source.read(place)
        shown = pixels.pixels if isinstance(pixels, Radiograph) else pixels
        return self._devices[film].take(shown, stream(0, "device", place)), mask


@dataclass(frozen=True)
class Division:
    """Who is where; patients by number.

    Attributes:
        train, validation: patients of each hospital.
        test: patients of all hospitals.
        devices: of each patient, test patients too.
    """

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
    """Divide patients among hospitals, label by label.

    The seed decides who is in which hospital. It decides neither who is tested, which does not depend on the number of
    hospitals either, nor by which device.

    Args:
        labels: 0 or 1 of each patient.
        shift: one of ``SHIFTS``.
        tested: share of the patients of each label that are tested.

    Raises:
        InputError: a hospital has too few patients of a label to train and to validate.
    """
    divided = Division([[] for _ in range(hospitals)], [[] for _ in range(hospitals)], [], {})
    own = _devices(shift, hospitals)
    for label in (0, 1):
        order = stream(0, "hospitals", label).permutation(np.flatnonzero(np.array(labels) == label)).tolist()
        count = round(tested * len(order))
        test, others = order[:count], order[count:]
        others = stream(seed, "hospitals", "who", label).permutation(others).tolist()
        divided.test.extend(test)
        divided.devices.update({patient: own[turn % hospitals] for turn, patient in enumerate(test)})
        ends = _ends(len(others), label, shift, hospitals)
        for number, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            group = others[begin:end]
            if len(group) < 2:
                raise InputError(
                    f"{hospitals} hospitals: one has {len(group)} patients of label {label}; ask for fewer"
                )
            held = max(1, round(0.2 * len(group)))
            divided.validation[number].extend(group[:held])
            divided.train[number].extend(group[held:])
            divided.devices.update(dict.fromkeys(group, own[number]))
    return replace(divided, test=sorted(divided.test))


def _devices(shift: str, hospitals: int) -> list[Device]:
    """The device of each hospital: its settings go in equal steps from the first hospital's to the last one's."""
    levels = {name: np.linspace(*ends, hospitals).tolist() for name, ends in _DEVICES.get(shift, {}).items()}
    return [Device(**{name: values[number] for name, values in levels.items()}) for number in range(hospitals)]


def _ends(patients: int, label: int, shift: str, hospitals: int) -> list[int]:
    """Where the patients of each hospital end, in the order of so many patients of a label; in equal parts, unless
    prevalence differs."""
    shares = np.ones(hospitals)
    if shift == "prevalence":
        shares = np.linspace(*(SHARES if label else SHARES[::-1]), hospitals)
    ends: list[int] = np.rint(np.cumsum(shares) / shares.sum() * patients).astype(int).tolist()
    return ends


def cohort_of(source: Source, division: Division, hospitals: Sequence[int], cache: Path) -> Cohort:
    """Patients of these hospitals who train and validate, with the test patients."""
    parts = {patient: ("test", division.devices[patient]) for patient in division.test}
    for name, groups in (("train", division.train), ("validation", division.validation)):
        parts |= {patient: (name, division.devices[patient]) for number in hospitals for patient in groups[number]}
    return prepare(HospitalSource(source, parts), cache)
