"""Whether a receiver's films look like those that a package was made of, before anyone relies on it; needs no labels.

A package holds the mean and deviation of its training films' values, and of its test patients how many were undecided
and, by sensitivity, specificity and prevalence, how many were called positive. Nothing else of its films is in it: not
their size, and no distribution of their scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sldd.metrics.intervals import Estimate, difference, share
from sldd.metrics.patient_votes import UNDECIDED
from sldd.package.apply.scoring import Scored
from sldd.package.format.header import Header
from sldd.rng import stream

MOST_SHIFT = 0.5
"""Of the mean value, in the package's deviations."""
MOST_FACTOR = 1.5
"""Between deviations, either way."""
MOST_SHARE = 0.2
"""Of patients, between undecided or positive ones here and there."""
_DRAWS = 2_000


@dataclass(frozen=True)
class Drift:
    """A way in which films may differ.

    Attributes:
        what: it is.
        apart: from the package, with its interval, in the unit that ``words`` say; ``same`` where nothing differs.
        most: how far ``apart`` may lie from ``same`` on either side, as a difference; a factor where ``same`` is 1.
    """

    what: str
    apart: Estimate
    same: float
    most: float
    words: str

    @property
    def beyond(self) -> bool:
        """The whole interval lies farther away than may be."""
        low, high = (1 / self.most, self.most) if self.same else (-self.most, self.most)
        return self.apart.low > high or self.apart.high < low


def drifts(scored: Scored, header: Header) -> Iterator[Drift]:
    """Exposure and contrast, and where claims say so undecided and positive patients."""
    yield from _values(scored, header)
    claims = header.claims
    theirs = None if claims is None else claims.test or claims.validation
    if theirs is None or header.delta is None:
        return
    scores = np.array([score for score, read in zip(scored.votes.scores, scored.read, strict=True) if read])
    undecided = share(float((scores == UNDECIDED).mean()), len(scores))
    there = share(theirs.undecided / theirs.patients, theirs.patients)
    words = f"{undecided} of the patients here, {there} there"
    yield Drift("undecided", difference(undecided, there), 0.0, MOST_SHARE, words)
    if theirs.sensitivity is not None and theirs.specificity is not None:
        negative = theirs.patients - theirs.positive
        count = theirs.sensitivity * theirs.positive + (1 - theirs.specificity) * negative
        called = share(float(((scores >= header.delta) & (scores != UNDECIDED)).mean()), len(scores))
        there = share(count / theirs.patients, theirs.patients)
        words = f"{called} of the patients here, {there} there, where {theirs.positive / theirs.patients:.2f} had it"
        yield Drift("called", difference(called, there), 0.0, MOST_SHARE, words)


def resolution(scored: Scored, header: Header) -> str:
    """Sizes of the films in words; a package does not say what its own were."""
    sides = np.array([min(look.height, look.width) for look in scored.looks])
    patch = header.patches.size if header.patches.size >= 1 else header.patches.size * float(np.median(sides))
    enlarged = ", so that patches are enlarged" if patch < header.patches.input_size else ""
    return (
        f"shorter sides of {int(sides.min()):,} to {int(sides.max()):,} pixels; patches of {patch:.0f} are shown at "
        f"{header.patches.input_size}{enlarged}; how large its maker's films were is not in the package"
    )


def _values(scored: Scored, header: Header) -> Iterator[Drift]:
    looks, usual = scored.looks, np.atleast_1d(np.array(header.mean, np.float64))
    deviation = np.maximum(np.atleast_1d(np.array(header.deviation, np.float64)), 1e-6)
    rows = {row: number for number, row in enumerate(dict.fromkeys(look.patient for look in looks))}
    sums = np.zeros((len(rows), 1 + 2 * len(usual)))
    for look in looks:
        means, stds = np.array(look.means), np.array(look.stds)
        sums[rows[look.patient]] += look.pixels * np.concatenate([[1.0], means, stds**2 + means**2])
    count = len(sums)
    times = stream(0, "drift").multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    drawn = np.concatenate([np.ones((1, count)), times]) @ sums
    mean, square = np.split(drawn[:, 1:] / drawn[:, :1], 2, axis=1)
    shift = ((mean - usual) / deviation).mean(1)
    factor = (np.sqrt(np.maximum(square - mean**2, 0)) / deviation).mean(1)
    brighter, wider = _estimate(shift), _estimate(factor)
    yield Drift("exposure", brighter, 0.0, MOST_SHIFT, f"{brighter} deviations brighter than the package's films")
    yield Drift("contrast", wider, 1.0, MOST_FACTOR, f"{wider} times theirs")


def _estimate(values: np.ndarray) -> Estimate:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high))
