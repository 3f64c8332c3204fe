"""Convolution that can be differentiated any number of times, each time by the cheapest means.

The pairing ``<g, conv(x, w)>`` is linear in each of its three arguments, so the gradients of a convolution are

    conv(x, w),     to_input(g, w),     to_weight(g, x),

and the gradients of any of the three are the other two again. Written as that closed family, a second derivative works
out nothing that is not used, where PyTorch's own formula always works out the gradient of ``w``, which the first inner
step never needs. And every member takes the faster of two algorithms: the library's kernel, or a matrix product, which
wins where a layer has many weights and few positions, as the last layers have, and on tiny batches most layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Geometry:
    """Stride, padding and sizes of a convolution; (height, width) each."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    input_size: tuple[int, int]
    kernel: tuple[int, int]

    def columns(self, x: torch.Tensor) -> torch.Tensor:
        """Patches under the kernel: (batch, channels x kernel, positions)."""
        if self.kernel == (1, 1) and self.padding == (0, 0):
            return x[:, :, :: self.stride[0], :: self.stride[1]].flatten(2)
        return F.unfold(x, self.kernel, padding=self.padding, stride=self.stride)

    def image(self, columns: torch.Tensor) -> torch.Tensor:
        """The transpose of ``columns``: overlapping patches are added up."""
        return F.fold(columns, self.input_size, self.kernel, padding=self.padding, stride=self.stride)


def _product_is_faster(role: str, positions: int, out_channels: int, geometry: Geometry, dtype: torch.dtype) -> bool:
    """Whether one matrix product beats the library's kernel, by what was measured on a CPU with AVX-512 and AMX.

    A product reads or writes the weights once and its columns are large; the kernel reorders the weights each time.

    Args:
        role: what is computed, a key of ``_MEMBERS``.
        positions: of the output, over all images of the batch.
    """
    strided = geometry.stride != (1, 1)
    if role == "weight" or dtype == torch.bfloat16 or (role == "input" and strided):
        return positions <= out_channels
    return 8 * positions <= out_channels


def _side_by_side(batch: torch.Tensor) -> torch.Tensor:
    """(batch, rows, positions) to (rows, batch x positions)."""
    return batch.flatten(2).transpose(0, 1).flatten(1)


def _conv(x: torch.Tensor, w: torch.Tensor, geometry: Geometry, bias: torch.Tensor | None = None) -> torch.Tensor:
    out_size = [
        (size + 2 * padding - kernel) // stride + 1
        for size, padding, kernel, stride in zip(
            geometry.input_size, geometry.padding, geometry.kernel, geometry.stride, strict=True
        )
    ]
    if not _product_is_faster("output", len(x) * math.prod(out_size), len(w), geometry, w.dtype):
        return torch.conv2d(x, w, bias, geometry.stride, geometry.padding)
    columns = _side_by_side(geometry.columns(x))
    out = w.flatten(1) @ columns if bias is None else torch.addmm(bias[:, None], w.flatten(1), columns)
    return out.view(len(w), len(x), *out_size).transpose(0, 1).contiguous()


def _to_input(g: torch.Tensor, w: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    if _product_is_faster("input", g.numel() // len(w), len(w), geometry, w.dtype):
        columns = w.flatten(1).T @ _side_by_side(g)
        return geometry.image(columns.view(len(columns), len(g), -1).transpose(0, 1))
    if w.shape[1] == 1:  # gray images, for which the library has no kernel of its own
        return geometry.image(torch.bmm(w.flatten(1).T.expand(len(g), -1, -1), g.flatten(2)))
    like = g.new_empty(()).expand(len(g), w.shape[1], *geometry.input_size)
    found: torch.Tensor = _library(g, like, w, geometry, (True, False, False))[0]
    return found


def _to_weight(g: torch.Tensor, x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    shape = (g.shape[1], x.shape[1], *geometry.kernel)
    if _product_is_faster("weight", g.numel() // g.shape[1], g.shape[1], geometry, x.dtype):
        return (_side_by_side(g) @ _side_by_side(geometry.columns(x)).T).view(shape)
    found: torch.Tensor = _library(g, x, g.new_empty(()).expand(shape), geometry, (False, True, False))[1]
    return found


def _library(
    g: torch.Tensor, x: torch.Tensor, w: torch.Tensor, geometry: Geometry, wanted: tuple[bool, bool, bool]
) -> Sequence[torch.Tensor]:
    found: Sequence[torch.Tensor] = torch.ops.aten.convolution_backward(
        g, x, w, None, geometry.stride, geometry.padding, (1, 1), False, (0, 0), 1, wanted
    )
    return found


_MEMBERS: Mapping[str, Callable[..., torch.Tensor]] = {"output": _conv, "input": _to_input, "weight": _to_weight}
_ARGUMENTS = {"output": ("input", "weight"), "input": ("output", "weight"), "weight": ("output", "input")}
"""What each member of the family is computed from, in the order its function takes them."""


def _work_out(wanted: Sequence[str], known: Mapping[str, torch.Tensor], geometry: Geometry) -> dict[str, torch.Tensor]:
    """Members of the family, from the others that are known. Where the library is to work out both gradients of an
    output, it is asked once: it brings tensors into its own order for each."""
    if set(wanted) == {"input", "weight"}:
        g, x, w = known["output"], known["input"], known["weight"]
        shape = (g.numel() // len(w), len(w), geometry, w.dtype)
        if w.shape[1] > 1 and not any(_product_is_faster(role, *shape) for role in wanted):
            to_input, to_weight, _ = _library(g, x, w, geometry, (True, True, False))
            return {"input": to_input, "weight": to_weight}
    return {role: _MEMBERS[role](*(known[name] for name in _ARGUMENTS[role]), geometry) for role in wanted}


@dataclass
class Scope:
    """The leaves whose gradients a backward pass is for.

    Autograd does not tell a ``Function`` that: a convolution would also compute gradients that nobody asked for.
    """

    images: bool = True
    parameters: bool = True
    leaf: torch.Tensor | None = None
    """The images. Any other leaf counts as a parameter, whatever it is used for."""


@dataclass(frozen=True)
class _Call:
    """One convolution of a forward pass: what all its derivatives share."""

    geometry: Geometry
    scope: Scope
    of_images: bool
    """Whether the input is the images themselves, not the map of an earlier layer."""
    of_parameters: bool
    """Whether the weight is a leaf, not made from other tensors."""

    def wanted(self, role: str) -> bool:
        """Whether this backward pass needs the gradient by ``input`` or ``weight``; that by ``output`` always."""
        if role == "input":
            return self.scope.images or not self.of_images
        return role == "output" or self.scope.parameters or not self.of_parameters


class _Member(torch.autograd.Function):
    """One member of the closed family: ``role`` says what it computes (``_MEMBERS``), from the other two roles
    (``_ARGUMENTS``). Its gradients are the members of those two. Only ``output`` takes a bias."""

    @staticmethod
    def forward(
        ctx: Any, call: _Call, role: str, one: torch.Tensor, other: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        ctx.call, ctx.role = call, role
        ctx.save_for_backward(one, other)
        if role == "output":
            return _conv(one, other, call.geometry, bias)
        return _MEMBERS[role](one, other, call.geometry)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        arguments = _ARGUMENTS[ctx.role]
        known = {ctx.role: outer[0], **dict(zip(arguments, ctx.saved_tensors, strict=True))}
        needed = zip(arguments, ctx.needs_input_grad[2:4], strict=True)
        wanted = [role for role, asked in needed if asked and ctx.call.wanted(role)]
        if torch.is_grad_enabled():  # there may be another derivative
            applied = {
                role: _Member.apply(ctx.call, role, *(known[name] for name in _ARGUMENTS[role])) for role in wanted
            }
        else:
            applied = _work_out(wanted, known, ctx.call.geometry)
        found = [applied.get(role) for role in arguments]
        biased = len(ctx.needs_input_grad) == 5  # ``forward`` was given a bias, or None in its place
        to_bias = [outer[0].sum((0, 2, 3)) if ctx.needs_input_grad[4] else None] if biased else []
        return None, None, *found, *to_bias


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    stride: tuple[int, int],
    padding: tuple[int, int],
    scope: Scope,
) -> torch.Tensor:
    """``torch.nn.functional.conv2d`` without groups and dilation.

    Args:
        x: (batch, channels, height, width).
        weight: (out channels, channels, kernel height, kernel width).
        bias: (out channels,).
    """
    geometry = Geometry(stride, padding, (x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]))
    call = _Call(geometry, scope, x is scope.leaf, weight.is_leaf)
    out: torch.Tensor = _Member.apply(call, "output", x, weight, bias)
    return out
