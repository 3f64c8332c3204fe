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
from sldd.package.format.claimed import headline
from sldd.package.format.header import Header, Scores
from sldd.rng import stream

MOST_SHIFT = 0.5
"""Most difference of the mean gray values, in the package's deviations."""
MOST_FACTOR = 1.5
"""Most ratio of deviations, and of sizes; its inverse is the least."""
MOST_SHARE = 0.2
"""Most difference of shares of patients (undecided, called positive), and of scores."""
_DRAWS = 2_000
"""Of every bootstrap."""
_MOST_PATIENTS = 1_000
"""Most of the maker's patients that a bootstrap draws, whatever number the package states: with more, chance adds
nothing any longer."""


@dataclass(frozen=True)
class Drift:
    """A way in which films may differ.

    Attributes:
        what: name of it.
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
        return self.apart.low > high + 1e-9 or self.apart.high < low - 1e-9  # a factor is the exponential of a mean


def drifts(scored: Scored, header: Header) -> Iterator[Drift]:
    """All drifts: of films; where scores are claimed also of scores and of undecided and positive patients."""
    yield from film_drifts(scored.looks, header)
    theirs = _claimed(header)
    if theirs is None or header.delta is None:
        return
    scores = np.array([score for score, read in zip(scored.votes.scores, scored.read, strict=True) if read])
    decided = scores != UNDECIDED
    yield from score_drifts(scores[decided], theirs)
    yield _share_drift("undecided", ~decided, theirs.undecided / theirs.patients, theirs.patients)
    if theirs.sensitivity is not None and theirs.specificity is not None:
        negative = theirs.patients - theirs.positive
        called = theirs.sensitivity * theirs.positive + (1 - theirs.specificity) * negative
        prevalence = f", where {theirs.positive / theirs.patients:.2f} had it"
        here = decided & (scores >= header.delta)
        yield _share_drift("called", here, called / theirs.patients, theirs.patients, prevalence)


def film_drifts(looks: Sequence[FilmLook], header: Header) -> Iterator[Drift]:
    """Drifts of exposure and contrast, and of the films' size where the package states its own."""
    yield from _values(looks, header)
    if header.sides:
        yield _resolution(looks, header)


def score_drifts(here: np.ndarray, theirs: Scores) -> Iterator[Drift]:
    """The drift of patients' scores from those behind the claims; nothing where patients are too few here or there.

    The distance is the mean of ``|ours - theirs|`` over the group means: by how much scores would have to move, on
    average. Chance alone makes a distance larger, so the interval is a basic bootstrap's, ``2 * distance - quantile``.
    It draws both hospitals' patients. Of theirs only the group means are known: they are drawn from straight lines
    between these.

    Args:
        here: (patients,) scores of the kind that ``Scores.distribution`` has: of decided patients, or of whole films
            the largest probability.
    """
    there, groups = np.array(theirs.distribution), len(theirs.distribution)
    if not groups or len(here) < 2 * FEWEST:
        return
    ours = means_of(here, groups)
    apart = float(np.abs(ours - there).mean())
    random = stream(0, "drift", "scores")
    decided = min(max(theirs.patients - theirs.undecided, FEWEST * groups), _MOST_PATIENTS)
    middles = (np.arange(groups) + 0.5) / groups  # the quantile that a group's mean stands for
    drawn_theirs = means_of(np.interp(random.random((_DRAWS, decided)), middles, there), groups)
    drawn_ours = means_of(random.choice(here, (_DRAWS, len(here))), groups)
    drawn = np.abs(drawn_ours - drawn_theirs).mean(1)
    low, high = (max(0.0, 2 * apart - float(np.quantile(drawn, level))) for level in (0.975, 0.025))
    found = Estimate(apart, low, high)
    words = f"{found} apart: means of groups {_listed(ours, 2)} here, {_listed(there, 2)} there"
    yield Drift("scores", found, 0.0, MOST_SHARE, words)


def not_kept(header: Header) -> Iterator[tuple[str, str]]:
    """What cannot be compared since the package does not hold it, in words."""
    theirs = _claimed(header)
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


def _claimed(header: Header) -> Scores | None:
    """The claimed scores that count most; None of a package without claims."""
    return None if header.claims is None else headline(header.claims)[1]


def _share_drift(what: str, here: np.ndarray, claimed: float, patients: int, more: str = "") -> Drift:
    """Drift of a share of patients.

    Args:
        here: (patients,) bool, which patients here count.
        claimed: the maker's share, of so many ``patients``.
        more: end of the words.
    """
    ours, theirs = share(float(here.mean()), len(here)), share(claimed, patients)
    words = f"{ours} of the patients here, {theirs} there{more}"
    return Drift(what, difference(ours, theirs), 0.0, MOST_SHARE, words)


def _resolution(looks: Sequence[FilmLook], header: Header) -> Drift:
    """Ratio of the films' sizes, here to there: of geometric means of shorter sides, a mean side for each patient."""
    there = np.array(header.sides)
    of_patient: dict[int, list[float]] = {}
    for look in looks:
        of_patient.setdefault(look.patient, []).append(min(look.height, look.width))
    sides = np.array([np.mean(films) for films in of_patient.values()])
    if header.task != "patches":
        sides = np.minimum(sides, there[-1])  # larger ones are scaled down, as its maker's were
    log_means = _resampled(len(sides), "sides") @ np.log(sides) / len(sides)
    found = _estimate(np.exp(log_means - np.log(there).mean()))
    words = f"{found} times theirs: shorter sides of {sides.min():.0f} to {sides.max():.0f} pixels here"
    return Drift("resolution", found, 1.0, MOST_FACTOR, f"{words}, means of groups {_listed(there, 0)} there")


def _listed(values: np.ndarray, decimals: int) -> str:
    return ", ".join(f"{value:.{decimals}f}" for value in values)


def _values(looks: Sequence[FilmLook], header: Header) -> Iterator[Drift]:
    """Exposure and contrast: mean and deviation of all pixels here against the package's, averaged over channels.

    Patients are resampled, not films. What a patient adds is a row of sums: of the pixels, and for each channel of
    their values and of the squares of these (the mean square is ``std**2 + mean**2``).
    """
    their_mean = np.atleast_1d(np.array(header.mean, np.float64))
    their_deviation = np.maximum(np.atleast_1d(np.array(header.deviation, np.float64)), 1e-6)
    rows = {row: number for number, row in enumerate(dict.fromkeys(look.patient for look in looks))}
    sums = np.zeros((len(rows), 1 + 2 * len(their_mean)))
    for look in looks:
        means, stds = np.array(look.means), np.array(look.stds)
        sums[rows[look.patient]] += look.pixels * np.concatenate([[1.0], means, stds**2 + means**2])
    drawn = _resampled(len(sums)) @ sums
    mean, mean_square = np.split(drawn[:, 1:] / drawn[:, :1], 2, axis=1)  # (1 + draws, channels) each
    deviation = np.sqrt(np.maximum(mean_square - mean**2, 0))
    brighter = _estimate(((mean - their_mean) / their_deviation).mean(1))
    wider = _estimate((deviation / their_deviation).mean(1))
    yield Drift("exposure", brighter, 0.0, MOST_SHIFT, f"{brighter} deviations brighter than the package's films")
    yield Drift("contrast", wider, 1.0, MOST_FACTOR, f"{wider} times theirs")


def _resampled(patients: int, *name: str) -> np.ndarray:
    """(1 + draws, patients) how often each patient counts: once in the first row, in the others as a bootstrap draws.

    Args:
        name: of the random numbers.
    """
    times = stream(0, "drift", *name).multinomial(patients, np.full(patients, 1 / patients), size=_DRAWS)
    return np.concatenate([np.ones((1, patients)), times])


def _estimate(values: np.ndarray) -> Estimate:
    """The first of (1 + draws,) values, with the 95 % interval that the others span (percentiles of a bootstrap)."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high))
