"""Checkpointing schedule: it holds no more snapshots than allowed and repeats no more steps than it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sldd.distillation.snapshots import next_snapshot, repeated_steps


def _carry_out(steps: int, free: int) -> tuple[int, int]:
    """Steps walked and snapshots held at once when a sweep is replayed backwards as ``Unroll`` does."""
    walked, held, most = 0, [0], 0
    end = steps
    while held:
        at = held.pop()
        while at < end - 1:
            held.append(at)
            most = max(most, len(held) - 1)
            jump = next_snapshot(end - at, free - (len(held) - 1))
            walked, at = walked + jump, at + jump
        end = at
    return walked, most


@given(steps=st.integers(1, 40), free=st.integers(0, 8))
def test_plan_is_carried_out_as_it_says(steps: int, free: int) -> None:
    walked, most = _carry_out(steps, free)
    assert walked == repeated_steps(steps, free)
    assert most <= free


@given(steps=st.integers(2, 40))
def test_enough_snapshots_repeat_nothing(steps: int) -> None:
    assert repeated_steps(steps, steps) == steps - 1
    assert repeated_steps(steps, 0) == steps * (steps - 1) // 2
