"""Whether a receiver's own labelled patients agree with what a package claims: differences with intervals.

Both hospitals' patients are samples, so two numbers that differ may still agree: what counts is whether the interval of
the difference holds zero. Of the three intervals (sensitivity, specificity, AUC) one or more miss in one case of twenty
at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from sldd.errors import InputError
from sldd.metrics.classes import ClassScores
from sldd.metrics.intervals import Z_OF_THREE, Z_OF_TWO, Estimate, Z, difference
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


def compare_classes(scores: ClassScores, claims: Claims | None) -> tuple[str, list[Comparison]]:
    """As ``compare_claims``, of films of one class each: balanced accuracy and macro AUC.

    Claims do not say how many films each class had. What chance does to them is taken to be what it does to the
    subjects here (a bootstrap), by the root of their numbers: so it is where the hospitals are alike.

    Raises:
        InputError: nothing is claimed, or a class is absent here, so that the means are over other classes.
    """
    if claims is None:
        raise InputError("the package claims no scores, so there is nothing to compare with")
    absent = [name for number, name in enumerate(scores.classes) if not (scores.truth == number).any()]
    if absent:
        raise InputError(f"to compare with the claims takes images of every class, and none is of {absent[0]}")
    part, claimed = ("validation", claims.validation) if claims.test is None else ("test", claims.test)
    here, subjects = scores.describe([""] * (max(scores.patients) + 1), None, 0), len(set(scores.patients))
    ratio, found = (subjects / claimed.patients) ** 0.5, []
    for measure, name, value in (
        ("balanced accuracy", "balanced_accuracy", claimed.sensitivity),
        ("auc", "auc", claimed.auc),
    ):
        own, low, high = (here[name + end] for end in ("", "_low", "_high"))
        if value is None or None in (own, low, high):
            continue
        down, up = (Z_OF_TWO / Z * max(0.0, width) for width in (own - low, high - own))
        one = Estimate(own, max(0.0, own - down), min(1.0, own + up))
        other = Estimate(value, max(0.0, value - ratio * down), min(1.0, value + ratio * up))
        found.append(Comparison(measure, one, other, difference(one, other)))
    if not found:
        raise InputError("the package claims no score that the images here have an interval of")
    return part, found


def compare_claims(votes: Votes, claims: Claims | None, delta: float) -> tuple[str, list[Comparison]]:
    """On which of the maker's patients the scores were claimed, and the comparison of each measure.

    Args:
        votes: of patients whose labels are known.

    Raises:
        InputError: nothing is claimed, or a label is absent.
    """
    if claims is None:
        raise InputError("the package claims no scores, so there is nothing to compare with")
    part, claimed = ("validation", claims.validation) if claims.test is None else ("test", claims.test)
    positive, at = int((votes.labels == 1).sum()), operate(votes, delta)
    if not 0 < positive < len(votes.labels):
        raise InputError("to compare with the claims takes positive and negative patients, and one label is absent")
    here = Scores(len(votes.labels), positive, votes.undecided, at.sensitivity, at.specificity, at.hm, votes.auc)
    own, theirs = intervals(here, z=Z_OF_THREE), intervals(claimed, z=Z_OF_THREE)
    found = []
    for measure, one in own.items():
        other = theirs[measure]
        if one is not None and other is not None:
            found.append(Comparison(measure, one, other, difference(one, other)))
    if not found:
        raise InputError("the package claims no score whose interval follows from the numbers of its patients")
    return part, found
