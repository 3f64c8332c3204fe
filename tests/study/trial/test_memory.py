"""Peak memory: what an earlier trial left is gone before the next is measured."""

from __future__ import annotations

import gc
import weakref

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


def test_the_peak_is_that_since_it_was_reset() -> None:
    large = torch.ones(2**27)
    del large
    reset_peak_memory(CPU)
    before = peak_memory_mib(CPU)
    held = torch.ones(2**26)  # 256 MiB
    after = peak_memory_mib(CPU)
    assert before is not None
    assert after is not None
    assert 250 < after - before < 300
    assert held.sum() > 0
