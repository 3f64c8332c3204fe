"""What a distillation needs of memory, and whether a network can be distilled at all, from shapes alone.

The inner step, the outer pass and the adjoint are carried out on the meta device, where tensors have shapes and no
data: what autograd would save is counted, whatever has no second derivative fails, and nothing is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sldd.backbones import InnerWeights, inner_parameters
from sldd.compute import ComputeSettings
from sldd.memory import SavedTensors
from sldd.norms import keep_no_statistics
from sldd.unroll import SNAPSHOTS, Memory, Unroll

_RUNTIME = 900 * 2**20
"""Bytes that Python, PyTorch and the model libraries take before anything is computed, as measured on a CPU."""


class NoClassScoresError(ValueError):
    """The network's output is not one row of class scores an image."""


@dataclass(frozen=True)
class Needs:
    """Bytes by what holds them.

    ``weights``: one copy of the network. ``inner``: the graph of one inner gradient. ``outer``: what the pass over real
    patches saves.
    """

    weights: int
    inner: int
    outer: int

    def distilling(self, inner_steps: int, memory: Memory) -> int:
        """Peak of a distillation with that many inner steps; ``auto`` is counted as what it can fall back on."""
        kept = inner_steps * (self.inner + self.weights)
        recomputed = self.inner + (1 + min(inner_steps - 1, SNAPSHOTS)) * self.weights
        trail = kept if memory == "keep" else min(kept, recomputed)
        outer_pass = 2 * self.weights + self.outer  # theta_opt and its gradient
        adjoint = 4 * self.weights + self.inner  # theta_opt, lambda, nu, what is pulled back, and its own temporaries
        return _RUNTIME + self.weights + trail + max(outer_pass, adjoint)

    def training(self) -> int:
        """Peak of ordinary training with Adam: weights twice, gradient, two moments."""
        return _RUNTIME + 5 * self.weights + self.outer


def needs(
    network: nn.Module,
    *,
    images: int,
    side: int,
    batch: int,
    compute: ComputeSettings,
    inner_weights: InnerWeights = "all",
) -> Needs:
    """What distilling this network needs.

    Args:
        network: on the meta device, in training mode.
        images: M; 0 for ordinary training.
        side: of the input in pixels.
        batch: real patches a step.
        inner_weights: what the inner steps change.

    Raises:
        NoClassScoresError: it is no classifier.
        RuntimeError, ValueError ...: whatever the network says about such an input, or about second derivatives.
    """
    keep_no_statistics(network)
    weights = sum(parameter.nbytes for parameter in network.parameters())
    names = inner_parameters(network, inner_weights)
    unroll = Unroll(network, names=names)
    theta = [network.get_parameter(name).detach().requires_grad_() for name in names]
    with torch.no_grad():
        classes = _classes(unroll.forward(theta, torch.empty(max(images, 2), 1, side, side, device="meta")))
    inner = 0
    if images:
        x = torch.empty(1, images, 1, side, side, device="meta")
        labels = torch.empty(1, images, classes, device="meta")
        with SavedTensors() as saved:
            theta = unroll.steps(x, labels, torch.ones(1, 1))
        inner = saved.nbytes
    size = min(batch, compute.micro_batch or batch)
    with SavedTensors() as saved:
        logits = unroll.forward(theta, torch.empty(size, 1, side, side, device="meta"))
        loss = nn.functional.cross_entropy(logits, torch.zeros(size, dtype=torch.long, device="meta"))
    outer = torch.autograd.grad(loss, theta, allow_unused=True, materialize_grads=True)
    if images:
        unroll.adjoint(outer)
    return Needs(weights, inner, saved.nbytes)


def _classes(output: object) -> int:
    if isinstance(output, torch.Tensor) and output.ndim == 2:
        return output.shape[1]
    found = f"{tuple(output.shape)}" if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
    raise NoClassScoresError(f"gives {found} where one row of class scores an image is wanted")
