"""Soft labels solved for the images at hand, where one inner step changes the last layer (variable projection).

With features f_t of a real image t and f_m of distilled image m, and inner rates a_W and a_b of the layer's weights and
bias, the step leads to logits that are linear in the labels (adding up to one each),

    z_t = z0_t + sum_m k_tm d_m,      d_m = y_m - softmax(z0_m),      k_tm = (a_W <f_t, f_m> + a_b) / M,

so that the outer loss is convex in them. Images that are learned under the best labels for them, solved anew at every
outer step, need fewer steps than images and labels that wait for each other (Golub & Pereyra 1973; the envelope
theorem leaves the images' gradient as it is). The best labels are approached by steps that cannot raise the loss of
their batch of n, whose curvature in the logits is at most 1/2 (Boehning & Lindsay 1988; Boehning 1992):

    d <- d - (K'K / 2n + ridge)^-1 K' (softmax(z) - truth) / n
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sldd.ops.types import Weights

FIRST_UPDATES = 200
"""At the first outer step, from labels that may be far off."""
UPDATES = 5
"""At each later outer step, from the labels of the last: few enough that labels do not follow a single batch."""
_RIDGE = 1e-6
_TINY = 1e-300
"""Where no image has a feature."""


@torch.no_grad()
def solved_labels(
    start: Weights,
    rates: torch.Tensor,
    *,
    made: torch.Tensor,
    labels: torch.Tensor,
    real: torch.Tensor,
    truth: torch.Tensor,
    updates: int,
) -> torch.Tensor:
    """Labels (M, C), each adding up to one, that lower the cross-entropy of real images after the inner step.

    Args:
        start: the last layer's weight (C, d, ...) and perhaps bias (C,).
        rates: () or (T,): the inner rate, or one for each of the T tensors of ``start``.
        made: (M, d, ...) features of distilled images.
        labels: (M, C) to begin with, of any sum.
        real: (n, d, ...) features of real images.
        truth: (n,) their classes.
        updates: steps towards the best.
    """
    weight, *bias = (tensor.flatten(1) if tensor.ndim > 1 else tensor for tensor in start)
    made, real = made.flatten(1), real.flatten(1)
    weight_rate, *bias_rates = rates.expand(len(start))  # a_W, and a_b where there is a bias
    kernel = weight_rate * (real @ made.T)
    for bias_rate in bias_rates:
        kernel = kernel + bias_rate
    kernel = kernel.double() / len(made)  # (n, M): k_tm
    made_shares = F.linear(made, weight, *bias).softmax(1).double()  # (M, C): softmax(z0_m)
    start_logits = F.linear(real, weight, *bias).double()  # (n, C): z0_t
    one_hot = F.one_hot(truth, labels.shape[1]).double()
    curvature = kernel.T @ kernel / (2 * len(real))  # (M, M)
    curvature.diagonal().add_(_RIDGE * curvature.diagonal().mean() + _TINY)
    factor, _ = torch.linalg.cholesky_ex(curvature)  # of what is not finite it makes NaN, which the outer loop reports
    begun = labels.double()
    change = begun - made_shares * begun.sum(1, keepdim=True)  # (M, C): d_m, each of sum zero, as the updates keep it
    for _ in range(updates):
        gradient = kernel.T @ ((start_logits + kernel @ change).softmax(1) - one_hot) / len(real)
        change = change - torch.cholesky_solve(gradient, factor)
    return (made_shares + change).to(labels.dtype)
