"""Prefetching: batches come in the same order, and no earlier than the next."""

from __future__ import annotations

import argparse
import threading
from typing import Any

import numpy as np
import pytest
import torch

from sldd.data.prefetch import Batch, BatchSource, Prefetch, draw_rows, in_turns, on_gpu
from sldd.rng import stream

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


class _Source:
    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def draw(self, random: np.random.Generator, count: int) -> Batch:
        raise AssertionError

    def near(self, device: torch.device, most: int) -> BatchSource:
        self.asked.append((device.type, most))
        return self


def test_only_a_gpu_is_asked_to_hold_films_and_for_a_share_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: argparse.Namespace(total_memory=160))
    source = _Source()
    assert on_gpu(source, CPU) is source
    assert source.asked == []
    on_gpu(source, torch.device("cuda"))
    assert source.asked == [("cuda", 10)]
    other: Any = object()
    assert on_gpu(other, torch.device("cuda")) is other


def test_no_class_is_there_more_often_than_another() -> None:
    drawn = np.stack([np.bincount(in_turns(stream(0, number), 16, 11), minlength=11) for number in range(600)])
    assert ((drawn.min(1) == 1) & (drawn.max(1) == 2)).all()
    assert np.abs(drawn.mean(0) - 16 / 11).max() < 0.1
    random = np.random.default_rng(0)
    assert in_turns(random, 6, 3).tolist() == [0, 1, 2, 0, 1, 2]
    assert random.bit_generator.state == np.random.default_rng(0).bit_generator.state, "nothing to draw"


def test_rows_that_are_drawn_apart_differ_while_there_are_others() -> None:
    classes = [0, 1, 1, 0, 1, 1, 1]
    for seed in range(20):
        rows = draw_rows(stream(seed, "rows"), [9, 3], classes, apart=True)
        of = [[row for row, each in zip(rows, classes, strict=True) if each == number] for number in (0, 1)]
        assert len(set(of[0])) == 2
        assert set(of[1][:3]) == {0, 1, 2}
        assert len(set(of[1][3:])) == 2
    # Where chance gives none twice, nothing is different.
    assert draw_rows(stream(0, "rows"), [90, 90], [0, 1], apart=True) == draw_rows(stream(0, "rows"), [90, 90], [0, 1])
