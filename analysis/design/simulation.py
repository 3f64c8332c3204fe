"""Simulated studies with a known truth: networks' HM against images, seeds, patients, families.

A run calls a patient right with a chance whose logit is the network's curve at that count, plus what the seed adds (the
same for all patients) and what the patient adds (the same for all runs of a study), both normal. Networks of a family
are alike in size and in need by their intra-class correlation. `benchmarks.statistics` puts such calls through the
whole analysis, `analysis.design.power` through its tests alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, logit

from analysis.records.bootstrap import harmonic_mean
from analysis.stats.counts import next_count

MARGIN, FLOOR = 0.10, 0.5
PATIENT_SPREAD = 1.0  # SD of what makes a patient hard, in logits
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


@dataclass(frozen=True)
class Design:
    """A study to simulate, and the truth behind it."""

    networks: int = 6
    counts: tuple[int, ...] = (1, 2, 3)
    seeds: int = 2
    patients: int = 60
    """Test patients, half of them positive."""
    seed_spread: float = 0.12
    """SD of HM from seed to seed, at an HM of 0.75."""
    correlation: float = 0.0
    """Of log parameters and log2 of the images a network needs."""
    families: int | None = None
    """How many; None: each network is of its own."""
    alike: float = 0.0
    """Intra-class correlation of families, in size and in need."""
    failing: float = field(default=0.0, repr=False)  # no part of a stream's name: the same runs, of which some fail
    """Share of the runs with a single image that call every patient negative."""
    chance: bool = False
    """Whether every network calls at an HM of 0.45, whatever it is given."""
    best: float = 0.85
    """HM of a run of usual luck, with as many images as the network needs."""
    trained: float = 0.85
    """The same of ordinary training."""
    searched: bool = False
    """Whether a network's counts are searched, as with `grid.images: search`, and not all run."""
    larger_at: tuple[int, ...] = ()
    """Counts at which only the larger half of the networks is run."""
    middle: float = 0.7
    """Mean of log2 of the images that networks need."""
    parameters: tuple[int, ...] | None = None
    """Of each network; drawn unless given."""
    kin: tuple[str, ...] | None = None
    """The family of each network, instead of `families` of about equal size."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The family of each network."""
        letters = [chr(ord("a") + each % 26) * (each // 26 + 1) for each in range(self.families or self.networks)]
        return self.kin or tuple(letters[each % len(letters)] for each in range(self.networks))

    @property
    def logit_spread(self) -> float:
        """SD of seeds in logits."""
        return self.seed_spread / (0.75 * 0.25)


def true_hm(design: Design, curve: np.ndarray) -> np.ndarray:
    """Mean HM over all seeds, of so many patients that they are all there are; ``curve`` is in logits (networks,
    1 + counts), of ordinary training first."""
    spread = np.hypot(design.logit_spread, PATIENT_SPREAD)
    return expit(curve[..., None] + spread * NODES) @ WEIGHTS / WEIGHTS.sum() * (1 - _failing(design))


def _failing(design: Design) -> np.ndarray:
    """(1 + counts,) the share of runs that fail, of ordinary training first."""
    return np.array([0.0, *(design.failing * (count == 1) for count in every_count(design))])


def curves(design: Design, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (networks,), and logits of calling right (networks, 1 + counts), of ordinary training first."""
    kin = np.unique(design.kinds, return_inverse=True)[1]
    shared, own = rng.standard_normal((2, design.networks)), rng.standard_normal((2, design.networks))
    size, rest = np.sqrt(design.alike) * shared[:, kin] + np.sqrt(1 - design.alike) * own
    parameters = np.rint(10 ** (6.5 + 0.7 * size)).astype(np.int64)
    if design.parameters is not None:
        parameters = np.array(design.parameters)
        size = (np.log10(parameters) - np.log10(parameters).mean()) / max(float(np.log10(parameters).std()), 1e-9)
    need = design.middle + 0.9 * (design.correlation * size + np.sqrt(1 - design.correlation**2) * rest)
    missing = np.clip(need[:, None] - np.log2(every_count(design)), 0, 1.5)
    hms = np.full(missing.shape, 0.45) if design.chance else design.best - 0.2 * missing
    return parameters, logit(np.column_stack([np.full(len(hms), design.trained), hms]))


def own_luck(mean: np.ndarray, patients: int) -> np.ndarray:
    """Variance of HM from run to run of one seed, of so many patients, where HM is `mean`; of any shape."""
    # A normal spread pulls the mean of expit towards a half, by about this much.
    curve = logit(mean) * np.sqrt(1 + PATIENT_SPREAD**2 * 3 / np.pi**2)
    chances = expit(curve[..., None] + PATIENT_SPREAD * NODES)
    return (chances * (1 - chances)) @ WEIGHTS / WEIGHTS.sum() / patients


def every_count(design: Design) -> tuple[int, ...]:
    """The counts that any network may be run at, ascending."""
    return tuple(sorted({*design.counts, *design.larger_at}))


def right_calls(design: Design, curve: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(networks, 1 + counts, seeds, patients) bool: whether a run calls a patient right; odd patients are positive."""
    hard = PATIENT_SPREAD * rng.standard_normal(design.patients)
    lucky = design.logit_spread * rng.standard_normal((*curve.shape, design.seeds))
    right = rng.random((*lucky.shape, design.patients)) < expit((curve[..., None] + lucky)[..., None] + hard)
    if not design.failing:
        return right  # the same calls as ever
    fails = rng.random(lucky.shape) < _failing(design)[:, None]
    return np.where(fails[..., None], np.arange(design.patients) % 2 == 0, right)


def hms_of(right: np.ndarray) -> np.ndarray:
    """HM of each run, of `right_calls`: the shape without patients."""
    return harmonic_mean(right[..., 1::2].mean(axis=-1), right[..., ::2].mean(axis=-1))


def tried(design: Design, parameters: np.ndarray, hms: np.ndarray) -> np.ndarray:
    """(networks, counts) bool: the counts at which networks are run, whose mean HM would be `hms` (networks,
    1 + counts), of ordinary training first."""
    counts = every_count(design)
    if design.searched:
        return np.stack([_searched(counts, own, trained) for trained, *own in hms.tolist()])
    larger = parameters > np.median(parameters)
    return np.stack([np.isin(counts, design.counts) | each for each in larger])


def _searched(counts: Sequence[int], hms: Sequence[float], trained: float) -> np.ndarray:
    """As `analysis.stats.coverage` and the study itself search."""
    known: dict[int, float | None] = {}
    reference = trained if trained >= FLOOR else None
    while (count := next_count(known, counts, MARGIN, FLOOR, reference)) is not None:
        known[count] = hms[counts.index(count)]
    return np.isin(counts, list(known))
