"""Weighted binary cross-entropy for several findings: K binary problems, positive and negative entries balanced.

Batch-weighted binary cross-entropy, as published: over a batch with P positive and N negative entries, terms of
positive entries weigh (P + N) / P and those of negative ones (P + N) / N. Averaged over the P + N entries, that is the
mean over the positive entries plus the mean over the negative ones. A soft entry y counts as y of a positive one and
1 - y of a negative one. All of it is differentiable twice, in the logits and in the labels, through the weights too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def entry_weights(labels: torch.Tensor) -> torch.Tensor:
    """(2,) weights of a negative and of a positive entry of a batch, 1 / N and 1 / P; 0 where there is none.

    Args:
        labels: (batch, classes) in [0, 1]; NaN where not known, which counts as neither.
    """
    known = ~labels.isnan()
    positive = torch.where(known, labels, 0.0).sum()
    counts = torch.stack([known.sum() - positive, positive])
    # Two steps, since the gradient of what is not taken has to be finite too.
    return torch.where(counts > 0, 1.0 / torch.where(counts > 0, counts, 1.0), 0.0)


def weighted_bce(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Batch-weighted binary cross-entropy; 0 for a batch of which nothing is known.

    Args:
        logits: (batch, classes).
        labels: (batch, classes) in [0, 1], or NaN where not known.
        weights: ``entry_weights`` of the whole batch, where this is a part of it: the losses of the parts add up to
            the loss of the batch.
    """
    negative, positive = entry_weights(labels) if weights is None else weights
    known = ~labels.isnan()
    # Logits too: what is not known must not get into a gradient, not as 0 x inf either.
    z, y = torch.where(known, logits, 0.0), torch.where(known, labels, 0.0)
    return (positive * y * F.softplus(-z) + negative * torch.where(known, 1.0 - y, 0.0) * F.softplus(z)).sum()
