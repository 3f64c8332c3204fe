"""Successive halving of a cell's search trials: which of them go on from their rung (Jamieson & Talwalkar 2016).

All trials of a cell run to the first rung; the better half of them, by their best validation score by then, goes on to
the second, and half of those again. A cell decides once all its trials are there, so that the decision follows from the
ledger, whoever finished first and however many ran at a time; other cells keep the machines busy meanwhile. ASHA (Li et
al. 2020) decides as trials come in, which depends on timing.
"""

from __future__ import annotations

from collections.abc import Sequence

from study.search.trial_record import TrialRecord


def promoted(records: Sequence[TrialRecord], trials: int) -> list[TrialRecord]:
    """Search trials that wait at a rung and are to go on from there, the best first.

    Args:
        records: of all search trials of a cell.
        trials: that it gets; before it has them, none goes on.
    """
    if len(records) < trials:
        return []
    for rung in range(1, 1 + max((record.rungs for record in records), default=0)):
        if any(not record.settled and len(record.taken_up) < rung for record in records):
            return []  # one is still on its way there
        there = [record for record in records if len(record.rung_scores) >= rung]
        there.sort(key=lambda record: (-record.rung_scores[rung - 1], record.index))
        if waiting := [record for record in there[: halves(len(records), rung)] if record.rung == rung]:
            return waiting
    return []


def halves(trials: int, rung: int) -> int:
    """How many of so many trials go on from a rung, counted from 1."""
    return -(-trials // 2**rung)


def halved_steps(trials: int, rungs: Sequence[int], steps: int) -> int:
    """Outer steps of all search trials of a cell together, where none diverges: ``steps`` each without rungs."""
    ends = [*rungs, steps]
    parts = [end - begin for begin, end in zip([0, *rungs], ends, strict=True)]
    return sum(part * (halves(trials, rung) if rung else trials) for rung, part in enumerate(parts))
