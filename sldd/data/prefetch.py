"""Sources of batches, cut on a GPU where their films fit there, and a prefetcher that prepares the next batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch

from sldd.errors import InputError

Batch = tuple[torch.Tensor, torch.Tensor]


class BatchSource(Protocol):
    """Training data, drawn a batch at a time."""

    def draw(self, random: np.random.Generator, count: int) -> Batch:
        """(count, channels, h, w) float32 images and (count,) int64 classes, or (count, classes) float32 findings."""
        ...


_SHARE = 1 / 16
"""Share of a GPU's memory that films may take, small since several trials may share the GPU. It is of the whole memory,
not of what is free, so that trials beside this one change nothing."""


def on_gpu(source: BatchSource, device: torch.device) -> BatchSource:
    """The source with its films on a GPU, where they fit and it can cut batches there (``near``); else as it is."""
    near = getattr(source, "near", None)
    if device.type != "cuda" or near is None:
        return source
    moved: BatchSource = near(device, int(_SHARE * torch.cuda.get_device_properties(device).total_memory))
    return moved


def in_turns(random: np.random.Generator, count: int, classes: int) -> np.ndarray:
    """(count,) int64 classes in turns: 0, 1, 2, 0, 1, 2, ...

    Where ``count`` is no multiple of the classes, some come once more than others. Which class is first is then drawn,
    so that over many batches none has more weight than another.

    Raises:
        InputError: there are more classes than ``count``, so that a batch would lack some.
    """
    if count < classes:
        raise InputError(f"a batch of {count} cannot hold each of {classes} classes; draw {classes} or more")
    first = int(random.integers(classes)) if count % classes else 0
    return (first + np.arange(count)) % classes


def draw_rows(
    random: np.random.Generator, sizes: Sequence[int], classes: Sequence[int], *, apart: bool = False
) -> list[int]:
    """For each of ``classes``, the number of a random image among those of that class.

    Args:
        sizes: how many images each class has.
        apart: draw none of a class again while it has others.
    """
    taken: defaultdict[int, set[int]] = defaultdict(set)
    rows = []
    for number in classes:
        row = int(random.integers(sizes[number]))
        if apart:
            before = taken[number]
            if len(before) == sizes[number]:
                before.clear()
            while row in before:
                row = int(random.integers(sizes[number]))
            before.add(row)
        rows.append(row)
    return rows


class NumberedBatches(Protocol):
    """Numbered batches for the steps of a learner."""

    @property
    def rows(self) -> int | None:
        """Most images that all batches together can hold; None where that is not known."""
        ...

    @property
    def name(self) -> str | None:
        """Digest of all batches; None where there is none."""
        ...

    def get(self, number: int) -> Batch:
        """Inputs and (batch,) classes of batch ``number``."""
        ...

    def close(self) -> None:
        """Release whatever prepares batches."""
        ...


class Prefetch:
    """``NumberedBatches`` on a device, the next one prefetched.

    A batch depends on its number alone, so drawing ahead changes none of them.

    Args:
        draw: makes batch ``number``, on the CPU or with its images on ``device``.
        device: where batches are wanted.
        ahead: prepare the next one in a thread of its own; by default on a GPU only, since on a CPU it would take the
            core from the step.
        rows, name: as of ``NumberedBatches``.
    """

    def __init__(
        self,
        draw: Callable[[int], Batch],
        device: torch.device,
        *,
        ahead: bool | None = None,
        rows: int | None = None,
        name: str | None = None,
    ) -> None:
        self._draw, self._device, self.rows, self.name = draw, device, rows, name
        ahead = device.type == "cuda" if ahead is None else ahead
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches") if ahead else None
        self._next: tuple[int, Future[Batch]] | None = None

    def get(self, number: int) -> Batch:
        """Batch ``number``; starts the next one. An error in drawing it is raised here."""
        if self._thread is None:
            return self._moved(self._draw(number))
        if self._next is None or self._next[0] != number:
            self._next = (number, self._thread.submit(self._pinned, number))
        batch = self._next[1].result()
        self._next = (number + 1, self._thread.submit(self._pinned, number + 1))
        return self._moved(batch)

    def close(self) -> None:
        """End the thread; what it has prepared is dropped."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def _pinned(self, number: int) -> Batch:
        """Batch ``number``; where the device is a GPU, in memory that is pinned."""
        images, classes = self._draw(number)
        if self._device.type != "cuda":
            return images, classes
        # Only pinned memory is copied while the GPU works; images that were cut there stay there.
        return images if images.is_cuda else images.pin_memory(), classes.pin_memory()

    def _moved(self, batch: Batch) -> Batch:
        images, classes = batch
        return images.to(self._device, non_blocking=True), classes.to(self._device, non_blocking=True)
