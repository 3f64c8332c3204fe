"""Pruners by the names that ``search.pruner`` gives them; a new one is a line of ``PRUNERS``.

One says what a trial is told before it begins, so that the ledger alone tells why it ended where it did: scores below
which it stops, or rungs at which it waits for the others of its cell. Hyperband is not among them: its brackets share
out more trials than a cell has. Nor is patience, which is ``outer.patience``, for all trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

Curve = Sequence[tuple[float, float]]
"""Steps of a trial's evaluations, each with its validation score."""
Limits = list[list[float]]
"""Steps, each with the score below which a trial stops there."""

_EARLIER = 3
"""Trials that a median is made of, at least: with fewer, one lucky trial would judge the next."""


@dataclass(frozen=True)
class Pruner:
    """What ends a search trial early.

    Attributes:
        limits: for the next trial, from the curves of a cell's earlier ones and the first step that may be judged.
        rungs: whether trials wait at ``search.rungs``.
    """

    limits: Callable[[Sequence[Curve], float], Limits] = lambda curves, first: []
    rungs: bool = False


def below_median(curves: Sequence[Curve], first: float) -> Limits:
    """The median, over the curves, of the best score by each step but the last, where nothing is left to stop.

    A trial that was stopped before counts with what it had: the least that it would have.
    """
    if len(curves) < _EARLIER:
        return []
    steps = [step for step, _ in max(curves, key=len)][:-1]
    return [[step, median(_by(curve, step) for curve in curves)] for step in steps if step >= first]


def _by(curve: Curve, step: float) -> float:
    return max((score for at, score in curve if at <= step), default=0.0)


PRUNERS: dict[str, Pruner] = {
    "none": Pruner(),
    "median": Pruner(limits=below_median),
    "halving": Pruner(rungs=True),
}

if TYPE_CHECKING:
    PrunerName = str
else:
    PrunerName = Literal[*PRUNERS]
