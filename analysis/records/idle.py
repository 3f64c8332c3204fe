"""Detects inner rates so small that inner steps leave the network where it started.

The outer loop may find that its images only do harm, and lowers their rates until float32 no longer adds what they
change. Everything else of the trial looks as always, and its scores are those of a start that nobody trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

IDLE = 1e-8
"""A step of this rate moves weights of about one by less than float32 tells apart, for gradients of about one."""


def idle_rates(rates: Any) -> str | None:
    """A line where the largest of the rates, nested lists of numbers, is below `IDLE`; None elsewhere."""
    numbers = list(_flat(rates))
    if not numbers or not max(numbers) < IDLE:
        return None
    return (
        f"inner rates fell to {float(max(numbers)):.0e}: the images change nothing, and scores are those of the start"
    )


def _flat(rates: Any, deepest: int = 3) -> Iterator[float]:
    """The numbers of (E, S[, T]) rates; of what is none, infinity or nothing."""
    if isinstance(rates, list):
        for each in rates if deepest else ():
            yield from _flat(each, deepest - 1)
    elif isinstance(rates, float) and not math.isfinite(rates):
        yield math.inf
    elif isinstance(rates, int | float) and not isinstance(rates, bool):
        yield abs(rates)
