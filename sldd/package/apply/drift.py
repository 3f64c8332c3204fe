"""Whether a receiver's films look like those that a package was made of, before anyone relies on it; needs no labels.

A package holds the mean and deviation of its training films' values, and means over groups of patients of their films'
sizes and of the scores of those that it claims something of. By sensitivity, specificity and prevalence it also says
how many were called positive. Packages from before groups were kept say nothing of size and scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sldd.metrics.group_means import FEWEST, means_of
from sldd.metrics.intervals import Estimate, difference, share
from sldd.metrics.patient_votes import UNDECIDED
from sldd.package.apply.remarks import FilmLook
from sldd.package.apply.scoring import Scored
from sldd.package.format.header import Header, Scores
from sldd.rng import stream

MOST_SHIFT = 0.5
"""Of the mean value, in the package's deviations."""
MOST_FACTOR = 1.5
"""Between deviations, either way."""
MOST_SHARE = 0.2
"""Of patients, between undecided or positive ones here and there; and of scores, between them."""
_DRAWS = 2_000
_MOST_PATIENTS = 1_000
"""That a package may say it is of, where they are drawn: of more, chance adds nothing."""


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
    """Films, and where claims say so scores, undecided and positive patients."""
    yield from film_drifts(scored.looks, header)
    claims = header.claims
    theirs = None if claims is None else claims.test or claims.validation
    if theirs is None or header.delta is None:
        return
    scores = np.array([score for score, read in zip(scored.votes.scores, scored.read, strict=True) if read])
    yield from score_drifts(scores[scores != UNDECIDED], theirs)
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


def film_drifts(looks: Sequence[FilmLook], header: Header) -> Iterator[Drift]:
    """Exposure and contrast, and where the package says it the size of films."""
    yield from _values(looks, header)
    if header.sides:
        yield _resolution(looks, header)


def score_drifts(here: np.ndarray, theirs: Scores) -> Iterator[Drift]:
    """How far patients' scores lie from those that the claims were made of; nothing where either are too few.

    The distance is that of the group means, on average: what one would have to move the scores by. Since chance adds
    to a distance, the interval is a basic bootstrap's, of both hospitals' patients; there, of lines between the means.

    Args:
        here: (patients,) scores as ``Scores.distribution`` is of.
    """
    there, groups = np.array(theirs.distribution), len(theirs.distribution)
    if not groups or len(here) < 2 * FEWEST:
        return
    decided = min(max(theirs.patients - theirs.undecided, FEWEST * groups), _MOST_PATIENTS)
    random = stream(0, "drift", "scores")
    ours = means_of(here, groups)
    apart = float(np.abs(ours - there).mean())
    places = np.interp(random.random((_DRAWS, decided)), (np.arange(groups) + 0.5) / groups, there)
    drawn = np.abs(means_of(random.choice(here, (_DRAWS, len(here))), groups) - means_of(places, groups)).mean(1)
    low, high = (max(0.0, 2 * apart - float(np.quantile(drawn, level))) for level in (0.975, 0.025))
    found = Estimate(apart, low, high)
    words = f"{found} apart: means of groups {_listed(ours, 2)} here, {_listed(there, 2)} there"
    yield Drift("scores", found, 0.0, MOST_SHARE, words)


def not_kept(header: Header) -> Iterator[tuple[str, str]]:
    """What cannot be compared since the package does not hold it, in words."""
    claims = header.claims
    theirs = None if claims is None else claims.test or claims.validation
    if not header.sides:
        yield "resolution", "not kept: the package does not say how large its maker's films were"
    if theirs is None or not theirs.distribution:
        yield "scores", "not kept: the package does not say how its maker's scores were distributed"


def patch_words(looks: Sequence[FilmLook], header: Header) -> str:
    """How large patches are here, beside what the network sees."""
    sides = np.array([min(look.height, look.width) for look in looks])
    patch = header.patches.size if header.patches.size >= 1 else header.patches.size * float(np.median(sides))
    enlarged = ", so that patches are enlarged" if patch < header.patches.input_size else ""
    return (
        f"shorter sides of {int(sides.min()):,} to {int(sides.max()):,} pixels; patches of {patch:.0f} are shown at "
        f"{header.patches.input_size}{enlarged}"
    )


def _resolution(looks: Sequence[FilmLook], header: Header) -> Drift:
    there = np.array(header.sides)
    of: dict[int, list[float]] = {}
    for look in looks:
        of.setdefault(look.patient, []).append(min(look.height, look.width))
    sides = np.array([np.mean(films) for films in of.values()])
    if header.task != "patches":
        sides = np.minimum(sides, there[-1])  # larger ones are scaled down, as its maker's were
    times = stream(0, "drift", "sides").multinomial(len(sides), np.full(len(sides), 1 / len(sides)), size=_DRAWS)
    drawn = np.concatenate([np.ones((1, len(sides))), times]) @ np.log(sides) / len(sides)
    found = _estimate(np.exp(drawn - np.log(there).mean()))
    words = f"{found} times theirs: shorter sides of {sides.min():.0f} to {sides.max():.0f} pixels here"
    return Drift("resolution", found, 1.0, MOST_FACTOR, f"{words}, means of groups {_listed(there, 0)} there")


def _listed(values: np.ndarray, decimals: int) -> str:
    return ", ".join(f"{value:.{decimals}f}" for value in values)


def _values(looks: Sequence[FilmLook], header: Header) -> Iterator[Drift]:
    usual = np.atleast_1d(np.array(header.mean, np.float64))
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
