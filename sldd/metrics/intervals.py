"""Intervals of published scores, from the numbers of patients that stand beside them; and of differences to one's own.

Shares by Wilson's score (1927), differences of two shares by Newcombe's method 10 (1998), areas under ROC curves by his
method 5 (2006), which asks with which areas what was seen would agree; all at 95 %. Two hospitals' patients are
independent groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959963984540054
Z_OF_TWO = 2.241402727604947
Z_OF_THREE = 2.3939797998185104
"""Of two and of three intervals of which one or more miss in one case of 20 at most (Bonferroni)."""


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def share(value: float, patients: int, z: float = Z) -> Estimate:
    """Wilson's interval of a share of ``patients``, of whom there is at least one.

    Its ends are (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), of a share p of n.
    """
    middle = value + z**2 / (2 * patients)
    spread = z * math.sqrt(value * (1 - value) / patients + z**2 / (4 * patients**2))
    scale = 1 + z**2 / patients
    return Estimate(value, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def area(value: float, positive: int, negative: int, z: float = Z) -> Estimate:
    """Newcombe's interval (method 5) of an AUC over m positive and n negative patients, at least one of each.

    It holds every true area A from which ``value`` is no more than z standard errors away:

        SE(A)^2 = A (1 - A) (1 + ((m + n) / 2 - 1) ((1 - A) / (2 - A) + A / (1 + A))) / (m n)
    """
    pairs, more = positive * negative, (positive + negative) / 2 - 1

    def agrees(true: float) -> bool:
        spread = 1 + more * ((1 - true) / (2 - true) + true / (1 + true))
        return abs(value - true) <= z * math.sqrt(true * (1 - true) * spread / pairs)

    def end(outside: float) -> float:
        """The end on this side of ``value``, by bisection: areas from there to ``value`` agree with it."""
        inside = value
        for _ in range(60):
            middle = (outside + inside) / 2
            if agrees(middle):
                inside = middle
            else:
                outside = middle
        return outside

    return Estimate(value, end(0.0), end(1.0))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """Difference of two independent groups' values, from the ends of both intervals (Newcombe; Zou & Donner 2008)."""
    middle = one.value - other.value
    low = math.hypot(one.value - one.low, other.high - other.value)
    high = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(middle, middle - low, middle + high)
