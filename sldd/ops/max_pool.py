"""Max pooling by the library's vectorised kernels: of channels-last maps, and elementwise maxima.

On contiguous maps PyTorch's kernel for a CPU goes from value to value, and a branch that nobody can foresee makes it
slow. Where places of maxima are needed, all maps of a batch become the channels of one channels-last image; where only
values are, shifted views are compared. Values, winners among equals and derivatives are those of the library.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

Pair = tuple[int, int]

_AT_A_TIME = 1 << 18
"""Values turned at a time, so that they stay in the cache."""


def max_pool(
    x: torch.Tensor, kernel: Pair, stride: Pair, padding: Pair = (0, 0), *, ceil_mode: bool = False
) -> torch.Tensor:
    """``torch.nn.functional.max_pool2d`` without dilation; differentiable any number of times.

    Args:
        x: (batch, channels, height, width), contiguous, on a CPU.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        pooled: torch.Tensor = _MaxPool.apply(x, kernel, stride, padding, (1, 1), ceil_mode)
        return pooled
    return F.max_pool2d(x, kernel, stride, padding, ceil_mode=True) if ceil_mode else _best(x, kernel, stride, padding)


def _best(x: torch.Tensor, kernel: Pair, stride: Pair, padding: Pair) -> torch.Tensor:
    """Maxima along rows, and of these across rows."""
    down, across = padding
    best = F.pad(x, (across, across, down, down), value=-torch.inf) if down or across else x
    for axis in (-1, -2):
        last = (best.shape[axis] - kernel[axis]) // stride[axis] * stride[axis]
        parts = [slice(shift, shift + last + 1, stride[axis]) for shift in range(kernel[axis])]
        views = [best[..., part] if axis == -1 else best[..., part, :] for part in parts]
        best = views[0]
        for view in views[1:]:
            best = torch.maximum(best, view)
    return best.contiguous()


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, *window: Any) -> torch.Tensor:
        height, width = x.shape[2:]
        found = []
        for maps in x.view(-1, height * width).split(max(64, _AT_A_TIME // (height * width))):
            turned = maps.t().contiguous().view(1, height, width, len(maps)).permute(0, 3, 1, 2)
            found.append(torch.ops.aten.max_pool2d_with_indices(turned, *window))
        best, winners = (_turned_back(parts, x) for parts in zip(*found, strict=True))
        ctx.save_for_backward(winners)
        ctx.shape, ctx.window = x.shape, window
        return best

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        like = outer[0].new_empty(()).expand(ctx.shape)
        to_x = torch.ops.aten.max_pool2d_with_indices_backward(outer[0], like, *ctx.window, *ctx.saved_tensors)
        return to_x, *[None] * len(ctx.window)


def _turned_back(parts: tuple[torch.Tensor, ...], x: torch.Tensor) -> torch.Tensor:
    """(1, maps, height, width) channels-last each to (batch, channels, height, width)."""
    height, width = parts[0].shape[2:]
    out = parts[0].new_empty(x.shape[0] * x.shape[1], height * width)
    for maps, part in zip(out.split([part.shape[1] for part in parts]), parts, strict=True):
        maps.copy_(part.permute(0, 2, 3, 1).reshape(height * width, -1).t())
    return out.view(*x.shape[:2], height, width)
