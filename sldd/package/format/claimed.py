"""The scores that a package claims: those that count most, and intervals from the numbers of patients beside them."""

from __future__ import annotations

from sldd.metrics.intervals import Estimate, Z, area, share
from sldd.ops.types import TaskName
from sldd.package.format.header import Claims, Scores


def headline(claims: Claims) -> tuple[str, Scores]:
    """Name and scores of the group that counts most.

    That is ``test``, patients that nothing was chosen on; where none were scored, ``validation``, patients that chose.
    """
    return ("validation", claims.validation) if claims.test is None else ("test", claims.test)


def intervals(scores: Scores, task: TaskName = "patches", z: float = Z) -> dict[str, Estimate | None]:
    """Sensitivity, specificity and AUC with intervals; None where counts or the score are missing, and of whole films,
    whose scores are means over findings or classes."""
    positive, negative = scores.positive, scores.patients - scores.positive
    found: dict[str, Estimate | None] = dict.fromkeys(("sensitivity", "specificity", "auc"))
    if task != "patches" or positive < 1 or negative < 1:
        return found
    if scores.sensitivity is not None:
        found["sensitivity"] = share(scores.sensitivity, positive, z)
    if scores.specificity is not None:
        found["specificity"] = share(scores.specificity, negative, z)
    if scores.auc is not None:
        found["auc"] = area(scores.auc, positive, negative, z)
    return found
