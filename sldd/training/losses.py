"""Loss functions: of inner steps on soft labels, and of the outer pass over real images, in micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F

from sldd.ops.types import TaskName
from sldd.training.weighted_bce import entry_weights, weighted_bce


def soft_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of ``-sum_c y_c log softmax(z)_c``; twice differentiable in both arguments.

    Args:
        logits, labels: (batch, classes).
    """
    return -(labels * logits.log_softmax(1)).sum(1).mean()


def cross_entropy(logits: torch.Tensor, truth: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """The share of a part in the mean cross-entropy of a batch.

    Args:
        logits: (part, classes).
        truth: (part,) int64.
        whole: (batch,) truth of the batch.
    """
    return F.cross_entropy(logits, truth) * (len(truth) / len(whole))


def weighted_bce_of_part(logits: torch.Tensor, truth: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """The share of a part in the batch-weighted binary cross-entropy: weighted by the entries of the whole batch.

    Args:
        logits, truth: (part, classes).
        whole: (batch, classes) truth of the batch.
    """
    return weighted_bce(logits, truth, entry_weights(whole))


@dataclass(frozen=True)
class Loss:
    """A task's inner and outer loss function.

    ``inner``: (logits, soft labels) -> loss of a batch of distilled images. ``outer``: (logits, truth, truth of the
    whole batch) -> a part's share in the loss of a batch of real ones; the shares add up to it. ``probabilities``:
    (batch, classes) logits -> what they stand for.
    """

    inner: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    outer: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    probabilities: Callable[[torch.Tensor], torch.Tensor]


CROSS_ENTROPY = Loss(soft_cross_entropy, cross_entropy, partial(torch.softmax, dim=1))
WEIGHTED_BCE = Loss(weighted_bce, weighted_bce_of_part, torch.sigmoid)
LOSSES: dict[TaskName, Loss] = {"patches": CROSS_ENTROPY, "multilabel": WEIGHTED_BCE, "classes": CROSS_ENTROPY}
