"""Prefetching: batches come in the same order, and no earlier than the next."""

from __future__ import annotations

import threading

import pytest
import torch

from sldd.data.prefetch import Batch, Prefetch

CPU = torch.device("cpu")


def test_prefetched_batches_are_the_same_and_drawn_beside() -> None:
    drawn: list[tuple[int, str]] = []

    def draw(number: int) -> Batch:
        drawn.append((number, threading.current_thread().name))
        return torch.full((2,), float(number)), torch.tensor([number])

    ahead, plain = Prefetch(draw, CPU, ahead=True), Prefetch(draw, CPU)
    for number in (0, 1, 2, 7, 8):  # a resumed run begins anywhere
        for one, other in zip(ahead.get(number), plain.get(number), strict=True):
            assert torch.equal(one, other)
    ahead.close()
    assert {number for number, name in drawn if "batches" in name} >= {0, 1, 2, 7, 8}
    assert [name for number, name in drawn if number == 9 and "batches" not in name] == [], "it is nobody's yet"


def test_an_error_while_drawing_ahead_arrives_with_its_batch() -> None:
    def draw(number: int) -> Batch:
        if number == 1:
            raise OSError("disk gone")
        return torch.zeros(1), torch.zeros(1)

    ahead = Prefetch(draw, CPU, ahead=True)
    ahead.get(0)
    with pytest.raises(OSError, match="disk gone"):
        ahead.get(1)
    ahead.close()
