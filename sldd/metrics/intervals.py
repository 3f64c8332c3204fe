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
    """Wilson's interval of a share of so many patients, of whom there is at least one."""
    middle, spread = (
        value + z**2 / (2 * patients),
        z * math.sqrt(value * (1 - value) / patients + z**2 / (4 * patients**2)),
    )
    scale = 1 + z**2 / patients
    return Estimate(value, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def area(value: float, positive: int, negative: int, z: float = Z) -> Estimate:
    """Interval of an AUC over so many patients of either label, of whom there is at least one each."""
    pairs, more = positive * negative, (positive + negative) / 2 - 1

    def end(outer: float) -> float:
        inner = value
        for _ in range(60):
            middle = (outer + inner) / 2
            spread = 1 + more * ((1 - middle) / (2 - middle) + middle / (1 + middle))
            agrees = abs(value - middle) <= z * math.sqrt(middle * (1 - middle) * spread / pairs)
            outer, inner = (outer, middle) if agrees else (middle, inner)
        return outer

    return Estimate(value, end(0.0), end(1.0))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """One less the other, of independent groups, from the ends of both (Newcombe; Zou & Donner 2008)."""
    middle = one.value - other.value
    low = math.hypot(one.value - one.low, other.high - other.value)
    high = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(middle, middle - low, middle + high)
