"""Peak memory: what an earlier trial left is gone before the next is measured."""

from __future__ import annotations

import gc
import mmap
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from study.trial.memory import peak_memory_mib, reset_peak_memory

CPU = torch.device("cpu")


class _Learner:
    """Holds a method of its own, as learners do, and so itself."""

    def __init__(self) -> None:
        self.step = self.take

    def take(self) -> None: ...


def test_a_learner_of_an_earlier_trial_is_gone() -> None:
    gc.disable()
    try:
        left = weakref.ref(_Learner())
        assert left() is not None
        reset_peak_memory(CPU)
        assert left() is None
    finally:
        gc.enable()


def _taken(mib: int) -> np.ndarray:
    """So much memory from the system itself: the C library may have some left that others freed."""
    pages = np.frombuffer(mmap.mmap(-1, mib << 20), np.uint8)
    pages[:: mmap.PAGESIZE] = 1
    return pages


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the resident peak")
def test_the_peak_is_that_since_it_was_reset() -> None:
    large = _taken(1024)
    del large
    reset_peak_memory(CPU)
    before = peak_memory_mib(CPU)
    held = _taken(256)
    after = peak_memory_mib(CPU)
    assert before is not None
    assert after is not None
    assert 200 < after - before < 300
    assert held[0] == 1
