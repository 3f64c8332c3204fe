"""Batch norm by batch statistics with an analytic second derivative.

With ``h = (x - mean) r``, ``r = (variance + eps)^-1/2`` and ``N`` values a channel, batch norm is ``y = w h + b``, and

    dL/dx = w R(g),     dL/dw = sum(g h),     dL/db = sum(g),     R(q) = r (q - mean(q) - h mean(q h)),

where ``g = dL/dy``. Every term of the next derivative is ``R`` again, which the library has as one kernel; its own
formula takes some seventy elementwise passes instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable


def batch_norm(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float) -> torch.Tensor:
    """``torch.nn.functional.batch_norm(..., training=True)`` without running statistics; twice differentiable.

    Args:
        x: (batch, channels, ...).
        weight, bias: (channels,).
    """
    out: torch.Tensor = _BatchNorm.apply(x, weight, bias, eps)
    return out


def _channelwise(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.view(1, -1, *[1] * (like.ndim - 2))


def _sums(values: torch.Tensor) -> torch.Tensor:
    return values.sum([0, *range(2, values.ndim)])


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float
    ) -> torch.Tensor:
        out, mean, r = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, r)
        return out

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dx, dw, db = _Backward.apply(outer[0], *ctx.saved_tensors)
        x_needed, weight_needed, bias_needed, _ = ctx.needs_input_grad
        return dx if x_needed else None, dw if weight_needed else None, db if bias_needed else None, None


def _library(
    q: torch.Tensor, x: torch.Tensor, weight: torch.Tensor | None, mean: torch.Tensor, r: torch.Tensor
) -> Sequence[torch.Tensor]:
    """``w R(q)``, ``sum(q h)`` and ``sum(q)``."""
    found: Sequence[torch.Tensor] = torch.ops.aten.native_batch_norm_backward(
        q, x, weight, None, None, mean, r, True, 0.0, [True, True, True]
    )
    return found


class _Backward(torch.autograd.Function):
    """The gradients (dL/dx, dL/dw, dL/db) of batch norm as a function of g, x and w, which has a derivative itself."""

    @staticmethod
    def forward(
        ctx: Any, g: torch.Tensor, x: torch.Tensor, weight: torch.Tensor | None, mean: torch.Tensor, r: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(g, x, weight, mean, r)
        return tuple(_library(g, x, weight, mean, r))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_dx: torch.Tensor, to_dw: torch.Tensor, to_db: torch.Tensor) -> tuple[Any, ...]:
        """Pull ``a``, ``u`` and ``t``, the gradients by dL/dx, dL/dw and dL/db, back to g, x and w.

        ``R`` is symmetric. With ``s = w r / N``, the gradients are

            by g:  w R(a) + u h + t
            by x:  R(q) - s sum(a R(g)) h,     q = (u - s sum(a h)) g - s sum(g h) a
            by w:  sum(a R(g))

        In the code ``r_a`` is R(a), ``a_h`` is sum(a h), ``a_r_g`` is sum(a R(g)), and so on; ``scale`` is s.
        """
        g, x, weight, mean, r = ctx.saved_tensors
        values = x.numel() / len(r)  # N
        h = (x - _channelwise(mean, x)).mul_(_channelwise(r, x))
        r_a, a_h, _ = _library(to_dx, x, None, mean, r)
        r_g, g_h, _ = _library(g, x, None, mean, r)
        a_r_g = _sums(to_dx * r_g)
        scale = r / values if weight is None else r * weight / values
        q = g * _channelwise(to_dw - scale * a_h, x)
        q.addcmul_(to_dx, _channelwise(scale * g_h, x), value=-1)
        from_x = _library(q, x, None, mean, r)[0].addcmul_(h, _channelwise(scale * a_r_g, x), value=-1)
        from_g = r_a if weight is None else r_a.mul_(_channelwise(weight, x))
        from_g = from_g.addcmul_(h, _channelwise(to_dw, x)).add_(_channelwise(to_db, x))
        return from_g, from_x, None if weight is None else a_r_g, None, None
