"""Where learned inner rates start: from what the first inner step does to a network's weights.

One inner rate means a thousandfold different thing in different networks: at a rate of 0.1 the first step changes the
weights of a deep network without normalisation by a thousandth, and those of a narrow one with batch norm by half. So
rates are given as the share of a tensor's norm that the inner steps would change, as in LARS (You et al. 2017):

    a_t = share ||w_t|| / (S E mean_s ||g_{t,s}||)

with ``g_{t,s}`` the inner gradient of tensor t on the s-th batch of distilled images at ``theta_0``. The last layer
gets ten times the share: its weights say nothing yet, and the logits hang on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sldd.ops.types import Weights

LAST_LAYER = 10.0
"""Times the share that the last layer's tensors start with."""
_WIDEST = 1e3
"""Times the median by which a rate may lie off it: a tensor whose gradient is next to nothing at the start would have a
rate that blows up once it has one."""


def relative_rates(
    names: Sequence[str], weights: Weights, gradients: Sequence[Weights], *, share: float, epochs: int, last: str
) -> torch.Tensor:
    """Inner rates at which the inner steps together change each tensor by about ``share`` of its norm.

    Args:
        names: of the T parameter tensors.
        weights: ``theta_0``, a tensor each.
        gradients: the inner gradient at ``theta_0`` on each of the S batches.
        share: of a tensor's norm; ``LAST_LAYER`` times as much in the last layer.
        epochs: E.
        last: name of the last layer, '' where there is no other.

    Returns:
        (T,) float32. Tensors that are zero (biases) take the rate of their layer's weights, or the median of all.
    """
    norms = torch.stack([torch.stack([g.norm() for g in batch]) for batch in gradients]).mean(0).double()
    sizes = torch.stack([weight.norm() for weight in weights]).double().to(norms.device)
    known = (sizes > 0) & (norms > 0)
    if not bool(known.any()):
        return torch.full((len(names),), share, device=norms.device)
    ratio = sizes / norms
    median = ratio[known].median()
    ratio = ratio.clamp(median / _WIDEST, median * _WIDEST)
    layers = [name.rpartition(".")[0] for name in names]
    of_layer = {layer: ratio[number] for number, layer in enumerate(layers) if known[number]}
    found = torch.stack([
        ratio[number] if known[number] else of_layer.get(layer, median) for number, layer in enumerate(layers)
    ])  # fmt: skip
    factor = torch.tensor([LAST_LAYER if layer == last else 1.0 for layer in layers], device=norms.device)
    return (share * factor * found / (epochs * len(gradients))).float()


def relative_rate(weights: Weights, gradients: Sequence[Weights], *, share: float, epochs: int) -> torch.Tensor:
    """The same for one rate of all tensors, which change by ``share`` of the norm of all together."""
    norm = torch.stack([torch.stack([g.norm() for g in batch]).norm() for batch in gradients]).mean()
    size = torch.stack([weight.norm() for weight in weights]).norm()
    if not float(norm):
        return torch.as_tensor(share, device=norm.device)
    return share * size / (norm * epochs * len(gradients))
