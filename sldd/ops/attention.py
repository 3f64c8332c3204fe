"""Attention that can be differentiated twice, in all threads of a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

from torch.nn.attention import SDPBackend, sdpa_kernel

_lock, _switched = Lock(), ExitStack()
_inside = 0


@contextmanager
def math_attention() -> Iterator[None]:
    """Inside it, attention is computed by PyTorch's math kernel: fused ones have no second derivative. Values are the
    same up to rounding.

    PyTorch's switch belongs to the process. Threads that switched it each for itself would switch fused attention on
    for one another, and the last to leave would leave it off for good. So the first to come switches, and the last to
    leave switches back.
    """
    global _inside
    with _lock:
        if not _inside:
            _switched.enter_context(sdpa_kernel(SDPBackend.MATH))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _switched.close()
