"""Compute settings: precision, memory, determinism. They change how a run is computed, not what.

``torch.compile`` has no place here: compiled code cannot be differentiated twice, and where only one derivative is
wanted, in the pass over real patches, it was no faster than eager code on a CPU and changed the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge

from sldd.ops.dispatch import Kernels
from sldd.ops.layout import in_layout_of
from sldd.ops.memory import keep_freed_memory
from sldd.ops.types import Memory, Precision, Weights
from sldd.training.losses import cross_entropy


@dataclass(frozen=True)
class ComputeSettings:
    """Speed and memory of a trial. All but ``memory`` change results by rounding or more; ``study.yaml`` keeps them."""

    memory: Memory = "auto"
    """Graphs of the inner steps: keep them, recompute them from a few snapshots, or decide by the memory there is."""
    precision: Precision = "float32"
    """Of the pass over real patches; bfloat16 by autocast. Scoring is always float32."""
    inner_precision: Precision = "float32"
    """Of the inner steps. Receivers must use the same, so the package names it."""
    micro_batch: Annotated[int, Ge(1)] | None = None
    """Real patches in memory at a time. The same gradient but for batch norm, which then sees smaller batches."""
    channels_last: bool = False
    """Channels-last weights and images in all passes: meant for GPUs with tensor cores. On a CPU, passes with at most
    one derivative have them anyway where that is faster, and inner steps were slower with them."""
    cuda_graph: bool = False
    """Launch an outer step through the inner steps (``sldd``, ``dd``, real images with learned labels) as one CUDA
    graph, recorded after the first three: for small networks on a GPU, whose steps take longer to launch than to run.
    Not measured yet."""
    deterministic: bool = False
    """Only algorithms that always add in the same order; an operation without one is an error. Without it, cuDNN takes
    what is fastest at the moment, and a run on a GPU comes out another each time."""

    def apply(self, threads: int) -> None:
        """Set what PyTorch and the C library keep for the whole process."""
        torch.set_num_threads(threads)
        keep_freed_memory()
        if self.deterministic:  # cuBLAS wants to hear it before CUDA is used, and PyTorch refuses products without
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(self.deterministic)
        torch.backends.cudnn.benchmark = not self.deterministic
        # Float32 is float32: by default NVIDIA's convolutions round to TF32's ten bits, and what a receiver rebuilds on
        # a CPU would be another network than the one that was scored. bfloat16 is there for those who want speed.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


def autocast_type(precision: Precision) -> torch.dtype | None:
    """The dtype for ``torch.autocast``; None for none."""
    return torch.bfloat16 if precision == "bfloat16" else None


def outer_gradient(
    forward: Callable[[Weights, torch.Tensor], torch.Tensor],
    weights: Weights,
    images: torch.Tensor,
    classes: torch.Tensor,
    settings: ComputeSettings,
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] = cross_entropy,
) -> tuple[torch.Tensor, Weights]:
    """The loss on a batch of real images, and its gradient; without waiting for the device.

    Args:
        forward: (weights, images) -> (batch, classes) logits.
        weights: leaves that require gradients.
        images: (batch, channels, height, width), or features of them.
        classes: (batch,) int64; (batch, classes) findings for a loss of several.
        loss: of logits, truth and the truth of the whole batch; see ``sldd.training.losses.Loss``.

    Returns:
        The loss and its gradient with respect to ``weights``.
    """
    total: Weights | None = None
    summed = torch.zeros((), device=images.device)
    if images.ndim == 4:
        images = images.contiguous(memory_format=settings.memory_format)
    size = settings.micro_batch or len(images)
    for part, truth in zip(images.split(size), classes.split(size), strict=True):
        with cast(images.device, settings.precision), Kernels():
            logits = forward(weights, part)
        part_loss = loss(logits.float(), truth, classes)
        found = torch.autograd.grad(part_loss, weights, allow_unused=True, materialize_grads=True)
        gradient = in_layout_of(found, weights)
        total = gradient if total is None else list(torch._foreach_add(total, gradient))
        summed += part_loss.detach()
    assert total is not None
    return summed, total


def cast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Autocast to a precision; nothing for float32."""
    dtype = autocast_type(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
