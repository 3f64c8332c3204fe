"""Whether a receiver's own labelled patients agree with what a package claims: differences with intervals.

Both hospitals' patients are samples, so two numbers that differ may still agree: what counts is whether the interval of
the difference holds zero. The intervals are wide enough to be read together (Bonferroni): of the three (sensitivity,
specificity, AUC) one or more miss in one case of twenty at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sldd.errors import InputError
from sldd.metrics.classes import ClassScores
from sldd.metrics.intervals import Z_OF_THREE, Z_OF_TWO, Estimate, Z, difference, share
from sldd.metrics.patient_votes import Votes, operate
from sldd.package.format.claimed import headline, intervals
from sldd.package.format.header import Claims, Scores


@dataclass(frozen=True)
class Comparison:
    """A measure here and as claimed, and the difference of the two."""

    measure: str
    here: Estimate
    claimed: Estimate
    difference: Estimate

    @property
    def compatible(self) -> bool:
        return self.difference.low <= 0 <= self.difference.high

    @property
    def worse(self) -> bool:
        """It is lower here, by more than chance."""
        return self.difference.high < 0


def scores_here(votes: Votes, delta: float) -> dict[str, Estimate]:
    """Sensitivity, specificity and AUC of patients whose labels are known; nothing where a label is absent.

    One or more of the three intervals miss in one case of 20 at most.
    """
    positive, at = int((votes.labels == 1).sum()), operate(votes, delta)
    found = Scores(len(votes.labels), positive, votes.undecided, at.sensitivity, at.specificity, at.hm, votes.auc)
    return {measure: one for measure, one in intervals(found, z=Z_OF_THREE).items() if one is not None}


def class_scores_here(scores: ClassScores) -> dict[str, Estimate]:
    """Balanced accuracy and macro AUC of films of one class each, where a bootstrap gives an interval.

    One or both of the intervals miss in one case of 20 at most.
    """
    subjects = len(set(scores.patients))
    return {measure: _interval(found, subjects) for measure, found in _bootstrapped(scores).items()}


def compare_classes(scores: ClassScores, claims: Claims) -> tuple[str, list[Comparison]]:
    """As ``compare_claims``, for films of one class each: balanced accuracy and macro AUC.

    Claims do not say how many films each class had, so that their interval does not follow from them. It is taken
    from the bootstrap of the subjects here, scaled by ``sqrt(subjects here / patients there)``, which is right where
    the hospitals are alike.

    Raises:
        InputError: a class is absent here, so that the means are over other classes.
    """
    absent = [name for number, name in enumerate(scores.classes) if not (scores.truth == number).any()]
    if absent:
        raise InputError(f"to compare with the claims takes images of every class, and none is of {absent[0]}")
    part, claimed = headline(claims)
    values = {"balanced accuracy": claimed.sensitivity, "auc": claimed.auc}
    subjects, found = len(set(scores.patients)), []
    ratio = (subjects / claimed.patients) ** 0.5
    for measure, own in _bootstrapped(scores).items():
        value = values[measure]
        if value is not None:
            here = _interval(own, subjects)
            there = _interval(_Bootstrapped(value, ratio * own.down, ratio * own.up), claimed.patients)
            found.append(Comparison(measure, here, there, difference(here, there)))
    if not found:
        raise InputError("the package claims no score that the images here have an interval of")
    return part, found


class _Bootstrapped(NamedTuple):
    """A mean over classes, and how far its bootstrap interval reaches ``down`` and ``up`` from it."""

    value: float
    down: float
    up: float


def _bootstrapped(scores: ClassScores) -> dict[str, _Bootstrapped]:
    """Balanced accuracy and AUC, where they are defined and have an interval.

    The 95 % intervals of ``ClassScores.describe`` are made as wide as two that are read together (Bonferroni).
    """
    no_names = [""] * (max(scores.patients) + 1)  # only averages and their intervals are used of it
    described = scores.describe(no_names, None, 0)
    wider = Z_OF_TWO / Z
    found = {}
    for measure in ("balanced_accuracy", "auc"):
        value, low, high = (described[measure + end] for end in ("", "_low", "_high"))
        if None not in (value, low, high):
            found[measure.replace("_", " ")] = _Bootstrapped(value, wider * (value - low), wider * (high - value))
    return found


def _interval(found: _Bootstrapped, subjects: int) -> Estimate:
    """The mean with its bootstrap interval, or with Wilson's of a share of so many subjects where that is wider.

    Where every film is told rightly, every draw of a bootstrap is right, too, and its interval has no width.
    """
    least = share(found.value, subjects, Z_OF_TWO)
    low, high = min(found.value - found.down, least.low), max(found.value + found.up, least.high)
    return Estimate(found.value, max(0.0, low), min(1.0, high))


def compare_claims(votes: Votes, claims: Claims, delta: float) -> tuple[str, list[Comparison]]:
    """Compare each measure here with the claimed one.

    Returns:
        The group of the maker's patients that the claims are of (``headline``), and the comparisons.

    Args:
        votes: of patients whose labels are known.

    Raises:
        InputError: a label is absent.
    """
    if not 0 < int((votes.labels == 1).sum()) < len(votes.labels):
        raise InputError("to compare with the claims takes positive and negative patients, and one label is absent")
    part, claimed = headline(claims)
    theirs, found = intervals(claimed, z=Z_OF_THREE), []
    for measure, here in scores_here(votes, delta).items():
        there = theirs[measure]
        if there is not None:
            found.append(Comparison(measure, here, there, difference(here, there)))
    if not found:
        raise InputError("the package claims no score whose interval follows from the numbers of its patients")
    return part, found
