"""Timing ratios, both sides measured in turns so that a busy machine slows both, and peak memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from sldd.ops.memory import keep_freed_memory


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    target: float
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.value <= self.target


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call, which other processes slow less than the clock."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def ratio(work: Callable[[], object], reference: Callable[[], object], repeats: int = 21) -> float:
    """Median of ``work`` divided by the median of ``reference``, called in turns after a warm-up of both."""
    work()
    reference()
    times = [(seconds(work), seconds(reference)) for _ in range(repeats)]
    return statistics.median(t for t, _ in times) / statistics.median(t for _, t in times)


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that tensors made inside one call take at once on the CPU, by PyTorch's own record of allocations."""
    work()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    assert record.profiler is not None
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def private_bytes() -> int:
    """Memory of this process that no other process shares (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private"))


def one_thread() -> None:
    """Pin the number of threads, which every figure is for, and keep freed memory, as trials do."""
    torch.set_num_threads(1)
    keep_freed_memory()
