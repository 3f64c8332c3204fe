"""Checkpointing schedule of a recomputed unroll: the fewest repeated steps for a given number of snapshots.

Binomial checkpointing (Griewank & Walther 2000, "revolve"), solved exactly by dynamic programming: unrolls are short.
"""

from __future__ import annotations

from functools import cache


@cache
def _plan(steps: int, free: int) -> tuple[int, int]:
    """(steps taken without a graph, first split) for a sweep of ``steps`` whose start is held."""
    if steps == 1:
        return 0, 0
    # Without a snapshot: run to the last step, then sweep all before it from the same start. The last step's own start
    # needs none: its graph is made and used at once.
    best = (steps - 1 + _plan(steps - 1, free)[0], steps - 1)
    if free:
        for split in range(1, steps - 1):  # a snapshot there: sweep what follows it, then what precedes it
            best = min(best, (split + _plan(steps - split, free - 1)[0] + _plan(split, free)[0], split))
    return best


def next_snapshot(steps: int, free: int) -> int:
    """How many steps to take before the next snapshot, for a sweep of ``steps`` >= 2 steps and ``free`` snapshots.

    ``steps - 1`` stands for the last step, whose start needs none.
    """
    return _plan(steps, free)[1]


def repeated_steps(steps: int, free: int) -> int:
    """Steps taken without a graph, the forward pass included, until every step has had its graph once."""
    return _plan(steps, free)[0]
