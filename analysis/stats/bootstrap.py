"""How sure a study can be of an image count: a paired bootstrap over patients and seeds.

Which test patients a hospital happened to have and which random starts were drawn are both luck. Each resample draws
both again: patients with replacement, positive and negative ones apart, the *same* patients for every image count, so
that what makes a patient hard does not count as a difference between counts; and seeds with replacement, the same
ones for counts that ran on the same seeds, since equal seeds name equal starts. Bounds are percentiles of what the
resamples give (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).

What it cannot do: one seed says nothing about other seeds, and few seeds resampled vary less than seeds drawn anew
would (simulated, with two counts exactly a margin apart, 200 patients and HMs that spread by 0.05 from seed to seed:
three seeds call the lower count sufficient at the 95 % level in 8 % of studies instead of 5 %, five seeds in 7 %;
without such spread it is 1 %). The largest of several noisy HMs is biased upwards, so the shortfall is too:
"sufficient" errs on the safe side, "insufficient" on the other, by a part of the HMs' own spread.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.records.runs import harmonic_mean
from analysis.stats.seeds import parts

DRAWS = 4_000_000  # patients drawn at a time: bounds the memory, whatever the cohort


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """Point values and bounds for every image count; arrays are (counts,), in the order of `images`.

    `hm` is the mean over seeds, `parts` what its interval is made of (`analysis.stats.seeds`, a row a count).
    `shortfall` is how far a count's HM is under the best of the *other* counts, negative for a count better than all of
    them; `shortfall_low` and `shortfall_high` are one-sided bounds, each at the level. Shortfalls are NaN where there
    is only one count.
    """

    images: np.ndarray
    hm: np.ndarray
    parts: pd.DataFrame
    shortfall: np.ndarray
    shortfall_low: np.ndarray
    shortfall_high: np.ndarray


def bootstrap(
    calls: np.ndarray,
    labels: np.ndarray,
    images: np.ndarray,
    seeds: np.ndarray,
    *,
    level: float,
    resamples: int,
    rng: np.random.Generator,
) -> Bootstrapped:
    """Bootstrap the image counts of one backbone in one setting.

    Args:
        calls: (runs, patients) bool, true where the run called the patient positive.
        labels: (patients,) bool, true for positive patients; both kinds have to be there.
        images: (runs,) each run's image count.
        seeds: (runs,) each run's seed.
        level: of confidence, above 0.5 and below 1.
        rng: see `generator`. The same one gives the same bounds in whatever order the runs come.

    Raises:
        ValueError: a label is absent, so that HM is undefined.
    """
    order = np.lexsort((seeds, images))
    calls, images, seeds = calls[order], images[order], seeds[order]
    hms = harmonic_mean(*(right.mean(axis=1) for right in _right(calls, labels)))
    return summed_up(hms, images, seeds, resample(calls, labels, resamples, rng), level, rng)


def summed_up(
    scores: np.ndarray,
    images: np.ndarray,
    seeds: np.ndarray,
    resampled: np.ndarray,
    level: float,
    rng: np.random.Generator,
) -> Bootstrapped:
    """Points and bounds of any score; runs by image count, then seed.

    Args:
        scores: (runs,) of all patients.
        images: (runs,) each run's image count.
        seeds: (runs,) each run's seed.
        resampled: (runs, resamples), of resampled patients.
        level: of confidence.
        rng: draws the seeds again.
    """
    counts = np.unique(images)
    hm = np.array([scores[images == count].mean() for count in counts])
    fall = shortfalls(over_seeds(resampled, images, seeds, rng))
    low, high = np.quantile(fall, (1 - level, level), axis=1)
    return Bootstrapped(counts, hm, parts(scores, resampled, images), shortfalls(hm[:, None])[:, 0], low, high)


def generator(*names: object) -> np.random.Generator:
    """Random numbers that depend on `names` alone: not on what else is analysed, or when."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, names)).encode()))


def resample(calls: np.ndarray, labels: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """HM of each run on resampled patients, (runs, resamples); arguments as in `bootstrap`."""
    return harmonic_mean(*(_resampled_means(right, resamples, rng) for right in _right(calls, labels)))


def over_seeds(hms: np.ndarray, images: np.ndarray, seeds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(counts, resamples): the mean over resampled seeds of `hms` (runs, resamples), runs by image count, then seed."""
    resamples = hms.shape[1]
    drawn: dict[tuple[int, ...], np.ndarray] = {}
    rows = []
    for count in np.unique(images):
        own = images == count
        named = tuple(seeds[own].tolist())
        if named not in drawn:
            drawn[named] = _times_drawn(len(named), resamples, rng) / len(named)
        rows.append((hms[own] * drawn[named].T).sum(axis=0))
    return np.stack(rows)


def shortfalls(hms: np.ndarray) -> np.ndarray:
    """How far each row of `hms` (counts, resamples) is under the highest *other* row; NaN where there is none."""
    if len(hms) == 1:
        return np.full(hms.shape, np.nan)
    second, best = np.sort(hms, axis=0)[-2:]
    leads = np.arange(len(hms))[:, None] == hms.argmax(axis=0)
    return np.where(leads, second, best) - hms


def _right(calls: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(runs, positive patients) and (runs, negative patients): where the call is the label."""
    if labels.all() or not labels.any():
        raise ValueError("HM needs positive and negative patients")
    return calls[:, labels], ~calls[:, ~labels]


def _resampled_means(right: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(runs, resamples): the share of `right` (runs, patients) in as many patients drawn with replacement."""
    patients = right.shape[1]
    values = right.T.astype(np.float32)  # sums of whole numbers, far below where float32 would round
    block = max(1, DRAWS // patients)
    sums = [
        _times_drawn(patients, min(block, resamples - start), rng).astype(np.float32) @ values
        for start in range(0, resamples, block)
    ]
    return np.concatenate(sums).T.astype(np.float64) / patients


def _times_drawn(items: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, items): how often each item comes up in `items` draws with replacement."""
    places = rng.integers(items, size=(resamples, items)) + items * np.arange(resamples)[:, None]
    return np.bincount(places.ravel(), minlength=items * resamples).reshape(resamples, items)
