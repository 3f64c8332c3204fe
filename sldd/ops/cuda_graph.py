"""A function of tensors as one CUDA graph: recorded once, then launched as a whole.

Small networks take some hundred kernels a step, of a few microseconds each, and to launch one from Python takes longer
than that. A graph launches all of them at once. It reads and writes the same memory every time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from sldd.errors import InputError

T = TypeVar("T")

_FIRST_CALLS = 3
"""Calls that run as they are: meanwhile libraries choose their kernels, which a graph cannot wait for."""


def recorded(work: Callable[[], T], device: torch.device) -> tuple[T, Callable[[], None]]:
    """Record the kernels of a call on a GPU, without running them.

    Returns:
        What the call returned, and what runs its kernels again, into the same tensors.
    """
    graph = torch.cuda.CUDAGraph()
    # Kernels of another device are not recorded, without a word. A recording that fails leaves its stream to whoever
    # comes next, so the one that was there is put back. Of this thread alone: another may be preparing the next batch.
    with (
        torch.cuda.device(device),
        torch.cuda.stream(torch.cuda.current_stream(device)),
        torch.cuda.graph(graph, stream=torch.cuda.Stream(device), capture_error_mode="thread_local"),
    ):
        results = work()
    return results, graph.replay


class GraphedCall(Generic[T]):
    """Calls of a function as one CUDA graph, once it was called a few times with tensors of the same shapes.

    Calls with other shapes run as they are. What a call returns is overwritten by the next.

    Args:
        work: of tensors on a GPU. What it reads and changes beside these keeps its memory. It may not wait for the
            GPU, and must do the same operations every time.

    Raises:
        InputError: it cannot be recorded.
    """

    def __init__(self, work: Callable[..., T]) -> None:
        self._work = work
        self._forms: list[tuple[torch.Size, torch.dtype]] = []
        self._left = _FIRST_CALLS
        self._inputs: list[torch.Tensor] = []
        self._recorded: tuple[T, Callable[[], None]] | None = None

    def __call__(self, *given: torch.Tensor) -> T:
        forms = [(tensor.shape, tensor.dtype) for tensor in given]
        if self._recorded is None:
            if forms != self._forms:
                self._forms, self._left = forms, _FIRST_CALLS
            if self._left:
                self._left -= 1
                return self._work(*given)
            self._record(*given)
        elif forms != self._forms:
            return self._work(*given)
        assert self._recorded is not None
        results, again = self._recorded
        torch._foreach_copy_(self._inputs, given)
        again()
        return results

    def _record(self, *given: torch.Tensor) -> None:
        self._inputs = [tensor.clone() for tensor in given]
        try:
            self._recorded = recorded(lambda: self._work(*self._inputs), given[0].device)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # one that is not allowed leaves the stream unusable: no way to go on without
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(f"compute.cuda_graph: this step cannot be recorded ({reason}); set it to false") from error
