"""Whether a receiver's own labelled patients agree with what a package claims: differences with intervals.

Both hospitals' patients are samples, so two numbers that differ may still agree: what counts is whether the interval of
the difference holds zero. Of the three intervals (sensitivity, specificity, AUC) one or more miss in one case of twenty
at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from sldd.errors import InputError
from sldd.metrics.classes import ClassScores
from sldd.metrics.intervals import Z_OF_THREE, Z_OF_TWO, Estimate, Z, difference, share
from sldd.metrics.patient_votes import Votes, operate
from sldd.package.format.claimed import intervals
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
    return {measure: _no_narrower(*found, subjects) for measure, found in _bootstrapped(scores).items()}


def compare_classes(scores: ClassScores, claims: Claims) -> tuple[str, list[Comparison]]:
    """As ``compare_claims``, of films of one class each: balanced accuracy and macro AUC.

    Claims do not say how many films each class had. What chance does to them is taken to be what it does to the
    subjects here (a bootstrap), by the root of their numbers: so it is where the hospitals are alike.

    Raises:
        InputError: a class is absent here, so that the means are over other classes.
    """
    absent = [name for number, name in enumerate(scores.classes) if not (scores.truth == number).any()]
    if absent:
        raise InputError(f"to compare with the claims takes images of every class, and none is of {absent[0]}")
    part, claimed = _claimed(claims)
    values = {"balanced accuracy": claimed.sensitivity, "auc": claimed.auc}
    subjects, found = len(set(scores.patients)), []
    ratio = (subjects / claimed.patients) ** 0.5
    for measure, (own, down, up) in _bootstrapped(scores).items():
        value = values[measure]
        if value is not None:
            here = _no_narrower(own, down, up, subjects)
            there = _no_narrower(value, ratio * down, ratio * up, claimed.patients)
            found.append(Comparison(measure, here, there, difference(here, there)))
    if not found:
        raise InputError("the package claims no score that the images here have an interval of")
    return part, found


def _bootstrapped(scores: ClassScores) -> dict[str, tuple[float, float, float]]:
    """Balanced accuracy and AUC, each with what chance takes from it and adds to it."""
    said = scores.describe([""] * (max(scores.patients) + 1), None, 0)
    found = {}
    for measure in ("balanced_accuracy", "auc"):
        value, low, high = (said[measure + end] for end in ("", "_low", "_high"))
        if None not in (value, low, high):
            found[measure.replace("_", " ")] = (value, Z_OF_TWO / Z * (value - low), Z_OF_TWO / Z * (high - value))
    return found


def _no_narrower(value: float, down: float, up: float, subjects: int) -> Estimate:
    """A mean over classes with its interval, which is as wide as that of a share of so many subjects at least: where
    all films are told rightly, those that a bootstrap draws are, too."""
    least = share(value, subjects, Z_OF_TWO)
    return Estimate(value, max(0.0, min(value - down, least.low)), min(1.0, max(value + up, least.high)))


def compare_claims(votes: Votes, claims: Claims, delta: float) -> tuple[str, list[Comparison]]:
    """On which of the maker's patients the scores were claimed, and the comparison of each measure.

    Args:
        votes: of patients whose labels are known.

    Raises:
        InputError: a label is absent.
    """
    if not 0 < int((votes.labels == 1).sum()) < len(votes.labels):
        raise InputError("to compare with the claims takes positive and negative patients, and one label is absent")
    part, claimed = _claimed(claims)
    theirs, found = intervals(claimed, z=Z_OF_THREE), []
    for measure, one in scores_here(votes, delta).items():
        other = theirs[measure]
        if other is not None:
            found.append(Comparison(measure, one, other, difference(one, other)))
    if not found:
        raise InputError("the package claims no score whose interval follows from the numbers of its patients")
    return part, found


def _claimed(claims: Claims) -> tuple[str, Scores]:
    """On which patients scores are claimed that nothing was chosen on, or else those that chose; and the scores."""
    return ("validation", claims.validation) if claims.test is None else ("test", claims.test)
