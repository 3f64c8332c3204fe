"""Kernel dispatch: layers run on our kernels where PyTorch's are slow on a CPU, else on PyTorch's.

On a GPU, where nothing was measured, and wherever a layer asks for more than is written here, everything stays with
PyTorch. Results differ from its own by rounding only. Receivers take the inner steps through the same code; scoring
has the pools alone, whose bits are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from sldd.ops.avg_pool import avg_pool
from sldd.ops.batch_norm import batch_norm
from sldd.ops.conv import Scope, convolve
from sldd.ops.max_pool import max_pool

_WORTH_TURNING = 20_000
"""Values from which another memory layout saves more time than the way there and back takes."""
_LARGEST_WINDOW = 4
"""Values in a window up to which adding them up one after the other is quicker."""


class Kernels(TorchFunctionMode):
    """Inside it, (batch, channels, height, width) tensors on a CPU are convolved by ``sldd.ops.conv``, normalised by
    ``sldd.ops.batch_norm``, and pooled by ``sldd.ops.max_pool`` and ``sldd.ops.avg_pool``.

    Args:
        twice: whether what is computed will be differentiated twice. If not, only the pools are ours, with PyTorch's
            own bits: without a derivative PyTorch's convolutions are faster, and in small networks with one. Where late
            layers are wide, as in ResNet18, ours take 0.7 of the time with one.
    """

    def __init__(self, *, twice: bool = True) -> None:
        super().__init__()
        self._scope = Scope()
        self._kernels: dict[Callable[..., Any], Callable[..., torch.Tensor | None]] = {
            F.max_pool2d: _max_pool2d,
            F.avg_pool2d: _avg_pool2d,
        }
        if twice:
            self._kernels |= {torch.conv2d: self._conv2d, F.batch_norm: _batch_norm}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kernel = self._kernels.get(func)
        found = None if kernel is None else kernel(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {})) if found is None else found

    @contextmanager
    def seeing(self, images: torch.Tensor) -> Iterator[None]:
        """Context of a forward pass on these images, by ours: marks them, so that ``asking`` can leave out their
        gradients."""
        self._scope.leaf = images
        try:
            with self:
                yield
        finally:
            self._scope.leaf = None

    @contextmanager
    def asking(self, *, images: bool, parameters: bool) -> Iterator[None]:
        """Context of backward passes that need the gradients of the images, of the parameters, or of both."""
        self._scope.images, self._scope.parameters = images, parameters
        try:
            yield
        finally:
            self._scope.images = self._scope.parameters = True

    def _conv2d(
        self,
        input: torch.Tensor,  # noqa: A002 - the library's name
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> torch.Tensor | None:
        plain = groups == 1 and _pair(dilation) == (1, 1) and not isinstance(padding, str)
        if not plain or not input.is_cpu or input.ndim != 4:
            return None
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight, bias = input.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        else:
            x = input
        return convolve(x, weight, bias, stride=_pair(stride), padding=_pair(padding), scope=self._scope)


def _batch_norm(
    input: torch.Tensor,  # noqa: A002
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor | None:
    statistics = running_mean is not None or running_var is not None
    if not training or statistics or not input.is_cpu or (weight is not None and input.dtype != weight.dtype):
        return None
    if input.numel() == input.shape[1]:  # one value a channel, which PyTorch refuses
        return None
    return batch_norm(input, weight, bias, eps)


def _max_pool2d(
    input: torch.Tensor,  # noqa: A002
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> torch.Tensor | None:
    plain = _pair(dilation) == (1, 1) and not return_indices and input.numel() >= _WORTH_TURNING
    if not plain or not input.is_cpu or input.ndim != 4 or not input.is_contiguous():
        return None
    kernel = _pair(kernel_size)
    return max_pool(input, kernel, _pair(stride) if stride else kernel, _pair(padding), ceil_mode=ceil_mode)


def _avg_pool2d(
    input: torch.Tensor,  # noqa: A002
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> torch.Tensor | None:
    kernel = _pair(kernel_size)
    plain = _pair(padding) == (0, 0) and not ceil_mode and divisor_override is None
    apart = kernel == _pair(stride or kernel) and kernel[0] * kernel[1] <= _LARGEST_WINDOW
    if not (plain and apart and input.dtype in (torch.float32, torch.float64) and input.numel() >= _WORTH_TURNING):
        return None
    if not input.is_cpu or input.ndim != 4 or not input.is_contiguous():
        return None
    return avg_pool(input, kernel)


def _pair(value: str | int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return int(value[0]), int(value[-1])
