"""Average pooling in windows that do not overlap, by elementwise sums, which are vectorised where PyTorch's kernel for
contiguous maps on a CPU is not. The values of a window are added in the library's order, and so to its bits.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch


def avg_pool(x: torch.Tensor, kernel: tuple[int, int]) -> torch.Tensor:
    """``torch.nn.functional.avg_pool2d`` with the kernel for a stride; differentiable any number of times.

    Args:
        x: (batch, channels, height, width), contiguous, float32 or float64.
    """
    pooled: torch.Tensor = _AvgPool.apply(x, kernel)
    return pooled


class _AvgPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: tuple[int, int]) -> torch.Tensor:
        ctx.kernel, ctx.shape = kernel, x.shape
        (down, across), (rows, columns) = kernel, (n // k for n, k in zip(x.shape[2:], kernel, strict=True))
        places = itertools.product(range(down), range(across))
        parts = [x[..., i : rows * down : down, j : columns * across : across] for i, j in places]
        total = parts[0] + parts[1] if len(parts) > 1 else parts[0].clone()
        for part in parts[2:]:
            total += part
        return total.div_(down * across)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Spread.apply(outer[0], ctx.kernel, ctx.shape), None


class _Spread(torch.autograd.Function):
    """Each value's share to every place of its window: the transpose of the mean."""

    @staticmethod
    def forward(ctx: Any, g: torch.Tensor, kernel: tuple[int, int], shape: torch.Size) -> torch.Tensor:
        ctx.kernel = kernel
        (down, across), (rows, columns) = kernel, g.shape[2:]
        share = g / (down * across)
        whole = (rows * down, columns * across) == tuple(shape[2:])
        out = g.new_empty(shape) if whole else g.new_zeros(shape)
        windows = out[..., : rows * down, : columns * across].unflatten(2, (rows, down))
        first, *others = windows.unbind(3)
        for place in range(across):
            first[..., place::across] = share
        for other in others:
            other.copy_(first)
        return out

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _AvgPool.apply(outer[0], ctx.kernel), None, None
