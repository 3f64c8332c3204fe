"""Initial inner learning rates, by the relative change that they make to a network's weights.

One inner rate means a thousandfold different thing in different networks: at a rate of 0.1 the first step changes the
weights of a deep network without normalisation by a thousandth, and those of a narrow one with batch norm by half. So
rates are given as the share of a tensor's norm that the inner steps would change, as in LARS (You et al. 2017):

    a_t = share c_t ||w_t|| / (S E mean_s ||g_{t,s}||)

with ``g_{t,s}`` the inner gradient of tensor t on the s-th batch of distilled images at ``theta_0``. ``c_t`` is 1, and
10 in the last layer: its weights say nothing yet, and the logits hang on it.

All tensors change at once and downhill, so a deep network leaps where a shallow one steps. To first order the inner
loss falls by ``share sum_t c_t ||w_t|| ||g_t||``; where that sum, the network's steepness, is above ``STEEPEST``, the
share is scaled down with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sldd.ops.types import Weights

LAST_LAYER = 10.0
"""Times the share that the last layer's tensors start with."""
STEEPEST = 500.0
"""Steepness, in nats, up to which a share is a share: at 0.02 the inner loss falls by at most 10, to first order."""
_WIDEST = 1e3
"""Times the median that a rate may be: a tensor whose gradient is next to nothing at the start would have a rate that
blows up once it has one. There is no such bound below: in networks with layer scale most tensors have next to no
gradient, and the few that have one need rates far under the median."""


def relative_rates(
    names: Sequence[str], weights: Weights, gradients: Sequence[Weights], *, share: float, epochs: int, last: str
) -> torch.Tensor:
    """Inner rates at which the inner steps together change each tensor by about ``share`` of its norm, or less.

    Args:
        names: of the T parameter tensors.
        weights: ``theta_0``, a tensor each.
        gradients: the inner gradient at ``theta_0`` on each of the S batches.
        share: of a tensor's norm; ``LAST_LAYER`` times as much in the last layer.
        epochs: E.
        last: name of the last layer, '' where there is no other.

    Returns:
        (T,) float32. Tensors that are zero (biases) take the rate of their layer's weights, or the median of all, as
        far as the inner loss falls by no more through them than through the median tensor.
    """
    gradient_norms = torch.stack([torch.stack([g.norm() for g in batch]) for batch in gradients]).mean(0).double()
    weight_norms = torch.stack([weight.norm() for weight in weights]).double().to(gradient_norms.device)
    known = (weight_norms > 0) & (gradient_norms > 0)  # (T,), like what follows
    if not bool(known.any()):
        return torch.full((len(names),), share, device=gradient_norms.device)
    ratio = weight_norms / gradient_norms
    median = ratio[known].median()
    ratio = ratio.clamp(max=median * _WIDEST)
    # A tensor without a ratio of its own takes that of its layer, or the median.
    layers = [name.rpartition(".")[0] for name in names]
    ratio_of_layer = {layer: ratio[number] for number, layer in enumerate(layers) if known[number]}
    filled = torch.stack([
        ratio[number] if known[number] else ratio_of_layer.get(layer, median) for number, layer in enumerate(layers)
    ])  # fmt: skip
    factor = torch.tensor([LAST_LAYER if layer == last else 1.0 for layer in layers], device=gradient_norms.device)
    rates = factor * filled
    # Through a tensor without a ratio of its own the inner loss may fall by no more than through the median one.
    falls = rates * gradient_norms.square()  # to first order, at a share of 1
    median_fall = falls[known].median()
    rates = torch.where(known | (falls <= median_fall), rates, median_fall / gradient_norms.square())
    steepness = (rates * gradient_norms.square()).sum()
    scale = (STEEPEST / steepness).clamp(max=1.0)
    return (share * scale * rates / (epochs * len(gradients))).float()


def relative_rate(weights: Weights, gradients: Sequence[Weights], *, share: float, epochs: int) -> torch.Tensor:
    """One rate for all tensors, which together change by ``share`` of their norm, however large the gradient."""
    norm = torch.stack([torch.stack([g.norm() for g in batch]).norm() for batch in gradients]).mean()
    size = torch.stack([weight.norm() for weight in weights]).norm()
    if not float(norm):
        return torch.as_tensor(share, device=norm.device)
    return share * size / (norm * epochs * len(gradients))
