"""Memory estimate of a distillation, and whether a network can be distilled at all, from shapes alone.

The inner step, the outer pass and the adjoint are carried out on the meta device, where tensors have shapes and no
data: what autograd would save is counted, whatever has no second derivative fails, and nothing is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sldd.backbones.head import Head
from sldd.backbones.norms import keep_no_statistics
from sldd.distillation.unroll import SNAPSHOTS, Unroll
from sldd.ops.memory import SavedTensors
from sldd.ops.types import InnerWeights, Memory
from sldd.training.compute import ComputeSettings
from sldd.training.losses import CROSS_ENTROPY, Loss

_RUNTIME = 900 * 2**20
"""Bytes that Python, PyTorch and the model libraries take before anything is computed, as measured on a CPU."""


class NoClassScoresError(ValueError):
    """The network's output is not one row of class scores an image."""


@dataclass(frozen=True)
class Needs:
    """A network's memory in bytes, by purpose.

    ``weights``: one copy of all parameters. ``changed``: one copy of those that inner steps change. ``inner``: what
    autograd saves for one inner gradient. ``outer``: what it saves in the pass over real patches. ``features``: the
    last layer's input for one real patch where only that layer changes, else 0.
    """

    weights: int
    changed: int
    inner: int
    outer: int
    features: int

    def distilling(self, inner_steps: int, memory: Memory, bank: int = 0) -> int:
        """Peak of a distillation with that many inner steps; ``auto`` is counted as what it can fall back on.

        ``bank``: real patches whose features are kept; they lie there twice while they are put in order.
        """
        kept = inner_steps * (self.inner + self.changed)
        recomputed = self.inner + (1 + min(inner_steps - 1, SNAPSHOTS)) * self.changed
        tape = kept if memory == "keep" else min(kept, recomputed)
        outer_pass = 3 * self.changed + self.outer  # theta_opt, the same with channels last, and its gradient
        backward = 4 * self.changed + self.inner  # theta_opt, lambda, nu, what is pulled back, and its own temporaries
        return _RUNTIME + self.weights + 2 * bank * self.features + tape + max(outer_pass, backward)

    def training(self) -> int:
        """Peak of ordinary training with Adam: weights twice and with channels last, gradient, two moments."""
        return _RUNTIME + 6 * self.weights + self.outer


def needs(
    network: nn.Module,
    *,
    images: int,
    side: int,
    channels: int = 1,
    batch: int,
    compute: ComputeSettings,
    inner_weights: InnerWeights = "all",
    loss: Loss = CROSS_ENTROPY,
) -> Needs:
    """Measure what distilling this network needs, on the meta device.

    Args:
        network: on the meta device, in training mode.
        images: M; 0 for ordinary training.
        side, channels: of the input, in pixels.
        batch: real patches a step.
        inner_weights: what the inner steps change.
        loss: of inner steps and of the outer pass.

    Raises:
        NoClassScoresError: it is no classifier.
        RuntimeError, ValueError ...: whatever the network says about such an input, or about second derivatives.
    """
    keep_no_statistics(network)
    weights = sum(parameter.nbytes for parameter in network.parameters())
    head = Head(network) if inner_weights == "head" else None
    changing = network if head is None else head.layer
    unroll = Unroll(changing, loss=loss.inner)

    def seen(count: int, *, learned: bool = False) -> torch.Tensor:
        patches = torch.empty(count, channels, side, side, device="meta", requires_grad=learned)
        return patches if head is None else head.features(patches)

    with torch.no_grad():
        classes = _classes(network(torch.empty(max(images, 2), channels, side, side, device="meta")))
        features = 0 if head is None else seen(1).nbytes
    theta = [parameter.detach().requires_grad_() for parameter in changing.parameters()]
    changed = sum(weight.nbytes for weight in theta)
    inner = 0
    if images:
        labels = torch.empty(1, images, classes, device="meta")
        with SavedTensors() as saved:
            theta = unroll.steps(seen(images, learned=True)[None], labels, torch.ones(1, 1))
        inner = saved.nbytes
    size = min(batch, compute.micro_batch or batch)
    with torch.no_grad():
        real = seen(size)
    with SavedTensors() as saved:
        logits = unroll.forward(theta, real)
        truth = (
            torch.zeros(size, dtype=torch.long, device="meta") if loss is CROSS_ENTROPY else torch.zeros_like(logits)
        )
        outer_loss = loss.outer(logits, truth, truth)
    outer = torch.autograd.grad(outer_loss, theta, allow_unused=True, materialize_grads=True)
    if images:
        unroll.backward(outer)
    return Needs(weights, changed, inner, saved.nbytes, features)


def _classes(output: object) -> int:
    if isinstance(output, torch.Tensor) and output.ndim == 2:
        return output.shape[1]
    found = f"{tuple(output.shape)}" if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
    raise NoClassScoresError(f"gives {found} where one row of class scores an image is wanted")
