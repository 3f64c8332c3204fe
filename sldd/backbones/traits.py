"""Traits of a network at its start, beside its size: depth, width, receptive field, linearity, steepness.

All are measured on one batch of real patches, in training mode, before anything is learned. They are meant for telling
which of them go along with the number of images that a network needs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.autograd.graph import Node

from sldd.backbones.head import caught_inputs, last_layer
from sldd.rng import stream

_CONVOLUTIONS = ("Convolution", "MkldnnConvolution", "CudnnConvolution")
"""What autograd calls the derivative of a convolution, up to its ending."""
_PRODUCTS = ("Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "_Trilinear")
"""That of a product of matrices, such as a linear layer has, and attention between what it has computed."""
_VIEWS = ("T", "Transpose", "Permute", "View", "UnsafeView", "Expand", "Unsqueeze", "Squeeze", "Split", "Slice")
"""Those of what may stand between a layer's weight and its product."""
_NORMS = re.compile("(Rms|Simple|Evo|FilterResponse|FrozenBatch)Norm")
"""Classes of norms that timm adds to PyTorch's."""
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_PROBES = 8
"""Random combinations of a unit's channels whose derivatives are taken, of each image."""


@dataclass(frozen=True)
class Traits:
    """Traits of one network at one start; None where a network has no such thing."""

    depth: int | None
    """Layers of weights (convolutions and linear layers) on the longest way from the input to the output; None of
    recurrent networks, whose way is as long as their input."""
    width: float
    """Outputs of a layer of weights, the last one aside: geometric mean over all of them."""
    receptive_field: float | None
    """Share of the input's pixels that the unit in the middle of the last feature map depends on: their effective
    number (sum e)^2 / sum e^2, where e is a pixel's squared derivative, summed over the unit's channels (after Luo et
    al. 2016, who fit a Gaussian)."""
    batch_norm: float
    """Share of the norms that are batch norm."""
    linearity: float
    """How far the outputs midway between two patches are the mean of the two patches' outputs: squared correlation over
    patches, of what differs between them. 1 for a linear network."""
    steepness: float
    """sum_t ||w_t|| ||g_t|| over weight tensors, in nats: to first order, the fall of the loss at a relative step."""


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def measure_traits(network: nn.Module, images: torch.Tensor, targets: torch.Tensor, loss: Loss) -> Traits:
    """Traits of a network whose start is set; its running statistics do not stay as they were.

    Args:
        images: (N, C, H, W), N even.
        targets: what ``loss(outputs, targets)`` takes.

    Raises:
        Exception: whatever the network raises at such a batch.
    """
    network.train()
    outputs = network(images)
    depth = None if any(isinstance(module, _RECURRENT) for module in network.modules()) else _depth(outputs)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(loss(outputs, targets), weights, allow_unused=True)
    steepness = sum(
        float(weight.detach().norm()) * float(gradient.norm())
        for weight, gradient in zip(weights, gradients, strict=True)
        if gradient is not None
    )
    norms = [module for module in network.modules() if _is_norm(module)]
    batch = sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in norms)
    return Traits(
        depth,
        _width(network),
        _receptive_field(network, images),
        batch / len(norms) if norms else 0.0,
        _linearity(network, images),
        steepness,
    )


def _is_norm(module: nn.Module) -> bool:
    kinds = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    return isinstance(module, kinds) or _NORMS.match(type(module).__name__) is not None


def _depth(outputs: torch.Tensor) -> int:
    """Layers of weights on the longest way through autograd's graph, by a depth-first search."""
    most: dict[object, int] = {}
    waiting = [(outputs.grad_fn, False)]
    while waiting:  # no recursion: deep networks have thousands of operations in a row
        node, done = waiting.pop()
        if node is None or (node in most and not done):
            continue
        before = [each for each, _ in node.next_functions if each is not None]
        if done:
            most[node] = max((most[each] for each in before), default=0) + _is_layer(node)
        else:
            waiting.append((node, True))
            waiting += [(each, False) for each in before]
    return most[outputs.grad_fn]


def _is_layer(node: Node) -> bool:
    """Whether it is a convolution, or a product with a weight."""
    if node.name().startswith(_PRODUCTS):
        return any(before is not None and _leads_to_weight(before) for before, _ in node.next_functions)
    return node.name().startswith(_CONVOLUTIONS)


def _leads_to_weight(node: Node) -> bool:
    while (name := node.name().partition("Backward")[0]) in _VIEWS:
        before = node.next_functions[0][0]
        if before is None:
            return False
        node = before
    return "AccumulateGrad" in name and node.variable.ndim > 1  # type: ignore[attr-defined]


def _width(network: nn.Module) -> float:
    _, last = last_layer(network)
    outputs = [
        module.out_features if isinstance(module, nn.Linear) else module.out_channels
        for module in network.modules()
        if isinstance(module, nn.modules.conv._ConvNd | nn.Linear) and module is not last
    ]
    # Rounded: networks of the same width differ in the last digit else, and would be ranked by it.
    return round(math.exp(sum(map(math.log, outputs)) / len(outputs)), 9) if outputs else 0.0


def _receptive_field(network: nn.Module, images: torch.Tensor) -> float | None:
    seen = images.detach().requires_grad_()
    features = _last_features(network, seen)
    if features is None:
        return None
    if features.dim() == 4:
        unit = features[:, features.shape[1] // 2, features.shape[2] // 2]
    else:  # a square of tokens, row by row; those of the class come first
        first = int(getattr(network, "num_prefix_tokens", 0))
        side = math.isqrt(features.shape[1] - first)
        unit = features[:, first + side // 2 * side + side // 2]
    energy = _squared_derivatives(unit, seen)
    if not float(energy.sum()):
        return None
    return float(energy.sum().square() / energy.square().sum()) / energy.numel()


def _squared_derivatives(unit: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Mean squared derivative of all of a unit's channels by each pixel: (N, channels), (N, C, H, W) -> (H W).

    Channels are combined with random signs (Hutchinson 1990), whose squares have the sum over channels as their mean.
    No fixed combination would do: behind a layer norm the channels' sum and the sum of their squares are constants.
    """
    energy = torch.zeros(images[0, 0].numel(), dtype=torch.float64, device=images.device)
    signs = 2 * stream(0, "signs of channels").integers(0, 2, size=(_PROBES, *unit.shape)) - 1
    for probe in torch.from_numpy(signs).to(unit):
        (gradient,) = torch.autograd.grad(unit, images, probe, retain_graph=True)
        energy += gradient.double().square().sum(1).mean(0).flatten() / _PROBES
    return energy


def _last_features(network: nn.Module, images: torch.Tensor) -> torch.Tensor | None:
    """(N, rows, columns, channels), or (N, tokens, channels), before what pools or flattens them; None where it cannot
    be told."""
    forward_features = getattr(network, "forward_features", None)
    if callable(forward_features):
        features, channels = forward_features(images), int(getattr(network, "num_features", 0))
    else:
        with caught_inputs(*_pools(network)) as caught:
            network(images)
        maps = [each for each in caught if each.dim() == 4 and each[0, 0].numel() > 1]
        if not maps:
            return None
        features, channels = maps[-1], int(maps[-1].shape[1])
    if not isinstance(features, torch.Tensor) or features.dim() not in (3, 4) or not features.requires_grad:
        return None
    if features.dim() == 4 and features.shape[1] == channels:
        features = features.movedim(1, -1)
    return features


def _pools(network: nn.Module) -> Iterator[nn.Module]:
    """What ends the feature map: global pooling, or else flattening."""
    kinds = (nn.AdaptiveAvgPool2d, nn.Flatten)
    yield from (module for module in network.modules() if isinstance(module, kinds))


def _linearity(network: nn.Module, images: torch.Tensor) -> float:
    one, other = images[0::2], images[1::2]
    with torch.no_grad():
        between = network((one + other) / 2)
        ends = (network(one) + network(other)) / 2
    between, ends = (each.double() - each.double().mean(0) for each in (between, ends))
    scale = float(between.norm() * ends.norm())
    return float((between * ends).sum() / scale) ** 2 if scale else 0.0
