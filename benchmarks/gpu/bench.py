"""Device under test, rows of its table, and how a call is timed there."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.measure import peak_bytes


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: float | str
    unit: str = ""
    held: bool | None = None
    """Whether what it claims holds; None where it only says."""


@dataclass(frozen=True)
class Bench:
    """A device, and how long to look at it."""

    device: torch.device
    quick: bool = False
    """Tiny networks and few repeats: does everything run?"""

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def repeats(self) -> int:
        return 1 if self.quick else 7

    def describe(self) -> dict[str, Any]:
        """Device and versions."""
        found: dict[str, Any] = {
            "device": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "cuda": None,
        }
        if self.cuda:
            found |= {"device": torch.cuda.get_device_name(self.device), "cuda": torch.version.cuda}
            found["memory_gib"] = round(torch.cuda.mem_get_info(self.device)[1] / 2**30, 1)
        return found

    def milliseconds(self, work: Callable[[], object], warm: int = 3) -> float:
        """Median time of a call: by the clock with the GPU waited for, on a CPU the processor's."""
        for _ in range(1 if self.quick else warm):
            work()
        clock = time.perf_counter if self.cuda else time.process_time
        taken = []
        for _ in range(self.repeats):
            self.wait()
            begun = clock()
            work()
            self.wait()
            taken.append(clock() - begun)
        return 1000 * statistics.median(taken)

    def peak_mib(self, work: Callable[[], object]) -> float:
        """The most that one call takes at once, beyond what is held before it."""
        if not self.cuda:
            return peak_bytes(work) / 2**20
        work()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        work()
        return (torch.cuda.max_memory_allocated(self.device) - before) / 2**20

    def wait(self) -> None:
        """Wait for the GPU."""
        if self.cuda:
            torch.cuda.synchronize(self.device)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """TF32 in convolutions and products, which trials never have."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
