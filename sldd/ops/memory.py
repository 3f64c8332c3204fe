"""Memory counters: what is free, and what autograd saves."""

from __future__ import annotations

from types import TracebackType

import psutil
import torch


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
