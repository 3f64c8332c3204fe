"""Memory: what is free, what autograd saves, freed memory that stays with the process, and errors for want of it."""

from __future__ import annotations

import ctypes
from types import TracebackType

import psutil
import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _LARGEST = -1, -3, 2**31 - 1  # of malloc.h, and the largest int


class SavedTensors:
    """Counts what autograd saves for the backward pass inside a ``with`` block.

    Works without data too: on the meta device nothing is allocated, and the count is the same.
    """

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor)

    @property
    def nbytes(self) -> int:
        """Bytes of all storages saved so far, each counted once."""
        return sum(self._sizes.values())

    def __enter__(self) -> SavedTensors:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, trace)

    def _note(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self._sizes[storage._cdata] = storage.nbytes()  # the address of the storage itself; its data may have none
        return tensor


def free_memory(device: torch.device) -> int:
    """Bytes that could be allocated now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


def out_of_memory(error: Exception) -> bool:
    """True for errors of a GPU's allocator, libraries or driver, and of this machine's allocator."""
    # The last is cuDNN's, where no algorithm's workspace could be had.
    words = ("can't allocate memory", "out of memory", "ALLOC_FAILED", "unable to find an engine to execute")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def keep_freed_memory() -> None:
    """Let the C library use freed memory again instead of handing it back to the system; without glibc, nothing.

    By its defaults every tensor of more than 32 MiB is made of new pages, each of which the system clears first: on
    batches of 256 patches that took up to three quarters of a forward pass, and a quarter of LeNet's outer steps.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST)
    mallopt(_TRIM_THRESHOLD, _LARGEST)
