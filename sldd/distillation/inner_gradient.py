"""The inner gradient of one network, and its vector-Jacobian products: all that inner steps ask of it.

``EagerGradient`` is the reference, by autograd. ``TracedGradient`` does the same operations from a program written down
once (``sldd.ops.trace``), to the same bits, in less time where tensors are small.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Protocol
from zlib import crc32

import torch

from sldd.ops.attention import math_attention
from sldd.ops.dispatch import Kernels
from sldd.ops.trace import Recorder
from sldd.ops.types import Weights

Products = Callable[[Weights, bool], list[torch.Tensor]]
"""(nu, parameters) -> gradients of <g, nu> by images, by labels and, where ``parameters``, by each weight. It frees
what it needs, such as the graph, so it is called once."""


class InnerGradient(Protocol):
    """``g``, the gradient of the inner loss with respect to ``theta`` on a batch of images (M, ...) and labels
    (M, classes)."""

    def gradient(self, theta: Weights, images: torch.Tensor, labels: torch.Tensor) -> Weights:
        """``g`` alone."""

    def linearised(self, theta: Weights, images: torch.Tensor, labels: torch.Tensor) -> tuple[Weights, Products]:
        """``g`` with what its products need."""


class EagerGradient:
    """By autograd.

    Args:
        forward: (weights, images) -> logits.
        loss: of logits and labels.
        autocast: a type narrower than the weights'; None for theirs.
    """

    def __init__(
        self,
        forward: Callable[[Weights, torch.Tensor], torch.Tensor],
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        autocast: torch.dtype | None,
    ) -> None:
        self._forward, self._loss, self._autocast = forward, loss, autocast
        self._kernels = Kernels()

    def gradient(self, theta: Weights, images: torch.Tensor, labels: torch.Tensor) -> Weights:
        found, _ = self._at(theta, images, labels, differentiable=False)
        return found

    def linearised(self, theta: Weights, images: torch.Tensor, labels: torch.Tensor) -> tuple[Weights, Products]:
        gradient, leaves = self._at(theta, images, labels, differentiable=True)
        kept = [g if g.requires_grad else None for g in gradient]

        def products(nu: Weights, parameters: bool, *, again: bool = False) -> list[torch.Tensor]:
            pairs = [(g, n) for g, n in zip(kept, nu, strict=True) if g is not None]
            with self._kernels.asking(images=True, parameters=parameters):
                found = torch.autograd.grad(
                    [g for g, _ in pairs],
                    leaves if parameters else leaves[:2],
                    [n for _, n in pairs],
                    allow_unused=True,
                    materialize_grads=True,
                    retain_graph=again,
                )
            return list(found)

        return [g.detach() for g in gradient], products

    def _at(
        self, theta: Weights, images: torch.Tensor, labels: torch.Tensor, *, differentiable: bool
    ) -> tuple[Weights, list[torch.Tensor]]:
        x, y = (value.detach().requires_grad_(differentiable) for value in (images, labels))
        weights = [weight.detach().requires_grad_() for weight in theta]
        with torch.enable_grad(), math_attention():
            with self._precision(x), self._kernels.seeing(x):
                logits = self._forward(weights, x)
            loss = self._loss(logits.to(y.dtype), y)
            with self._kernels.asking(images=False, parameters=True):
                gradient = torch.autograd.grad(
                    loss, weights, create_graph=differentiable, allow_unused=True, materialize_grads=True
                )
        return list(gradient), [x, y, *weights]

    def _precision(self, x: torch.Tensor) -> AbstractContextManager[object]:
        return nullcontext() if self._autocast is None else torch.autocast(x.device.type, self._autocast)


class TracedGradient:
    """By recorded programs, for batches of the shapes and layout that were recorded.

    Args:
        recorder: has recorded four parts, in this order: the gradient, prepared for products; its products by images,
            labels and weights; those by images and labels alone; and the gradient where there will be no products, for
            which autograd may choose other operations.
        ends: for each part, how many operations were recorded by its end.
        inputs: numbers (``Recorder.number``) of images, labels and weights.
        nu: numbers of the tensors that products are taken with.
        outputs: for each part, the numbers of its results.
        like: images and labels of the recorded batch.

    Raises:
        LookupError: a part needs a tensor that the recorder has not seen.
    """

    def __init__(
        self,
        recorder: Recorder,
        ends: list[int],
        inputs: list[int],
        nu: list[int],
        outputs: list[list[int]],
        like: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        gradient, by_all, by_images, alone = outputs
        gradient_part, all_part, images_part, alone_part = (slice(*part) for part in pairwise([0, *ends]))
        needed = recorder.needs(all_part, by_all) | recorder.needs(images_part, by_images)
        kept = sorted(needed.difference(nu))  # what the products read of the gradient's part
        self._count, self._like = len(gradient), [_form(tensor) for tensor in like]
        self._alone = recorder.program(inputs, alone, alone_part)
        self._forward = recorder.program(inputs, [*gradient, *kept], gradient_part)
        self._by_all = recorder.program([*kept, *nu], by_all, all_part)
        self._by_images = recorder.program([*kept, *nu], by_images, images_part)

    @classmethod
    def of(
        cls, eager: EagerGradient, theta: Weights, images: torch.Tensor, labels: torch.Tensor
    ) -> TracedGradient | None:
        """Record one inner step at these values, and compare the programs with autograd on other images and labels.

        None where the step cannot be recorded, or where the programs give other bits.
        """
        recorder = Recorder()
        inputs = recorder.number([images, labels, *theta])
        with recorder:
            gradient, products = eager.linearised(theta, images, labels)
        outputs, ends = [recorder.number(gradient)], [recorder.cut()]
        nu = [g.clone(memory_format=torch.contiguous_format) for g in gradient]
        numbers = recorder.number(nu)
        for parameters in (True, False):
            with recorder:
                # Only eager products can keep their graph, for the second call.
                found = products(nu, parameters, again=parameters)  # type: ignore[call-arg]
            outputs.append(recorder.number(found))
            ends.append(recorder.cut())
            del found
        del gradient, nu, products
        with recorder:
            outputs.append(recorder.number(eager.gradient(theta, images, labels)))
        ends.append(recorder.cut())
        if recorder.obstacle:
            return None
        try:
            traced = cls(recorder, ends, inputs, numbers, outputs, (images, labels))
            other = theta, 0.75 * images, 0.75 * labels
            same = all(_digest(traced, *other, by) == _digest(eager, *other, by) for by in (True, False, None))
        except (LookupError, RuntimeError):
            return None
        return traced if same else None

    def fits(self, images: torch.Tensor, labels: torch.Tensor) -> bool:
        """Whether the batch has the shapes, strides and types that were recorded."""
        return [_form(images), _form(labels)] == self._like

    def gradient(self, theta: Weights, images: torch.Tensor, labels: torch.Tensor) -> Weights:
        return self._alone([images, labels, *theta])

    def linearised(self, theta: Weights, images: torch.Tensor, labels: torch.Tensor) -> tuple[Weights, Products]:
        found = self._forward([images, labels, *theta])
        kept = found[self._count :]

        def products(nu: Weights, parameters: bool) -> list[torch.Tensor]:
            inputs = [*kept, *nu]
            kept.clear()
            return (self._by_all if parameters else self._by_images)(inputs)

        return found[: self._count], products


def program_or_eager(
    program: TracedGradient | None, eager: EagerGradient, images: torch.Tensor, labels: torch.Tensor
) -> InnerGradient:
    """The program where it was recorded for such a batch, else autograd."""
    return program if program is not None and program.fits(images, labels) else eager


def _form(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype


def _digest(
    inner: InnerGradient, theta: Weights, images: torch.Tensor, labels: torch.Tensor, parameters: bool | None
) -> list[int]:
    """Checksums of the bits of a gradient and its products; of the gradient by itself where ``parameters`` is None.

    The tensors themselves would take the memory of four networks.

    Args:
        parameters: as of ``Products``.
    """
    if parameters is None:
        found = inner.gradient(theta, images, labels)
    else:
        gradient, products = inner.linearised(theta, images, labels)
        found = [*gradient, *products([g.contiguous() for g in gradient], parameters)]
    return [crc32(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()) for tensor in found]
