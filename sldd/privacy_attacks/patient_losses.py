"""Per-patient loss and batch-norm input moments, for the privacy attacks.

One pass over the patient's films, of which what is seen weighs as in a training batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sldd.backbones.norms import batch_norms
from sldd.ops.dispatch import Kernels
from sldd.privacy_attacks.views import Views


@dataclass(frozen=True)
class PatientFeatures:
    """Loss and batch-norm input moments of each patient.

    Attributes:
        losses: (patients,) cross-entropy.
        moments: (patients, 2 c) mean and mean square of what arrives at each of the c channels of batch norm, in the
            order of ``norm_moments``; (patients, 0) without batch norm.
    """

    losses: np.ndarray
    moments: np.ndarray


@torch.no_grad()
def patient_features(
    predict: Callable[[torch.Tensor], torch.Tensor],
    network: nn.Module,
    views: Views,
    patients: Sequence[int],
    *,
    batch: int,
    device: torch.device,
) -> PatientFeatures:
    """Compute losses and moments; never more than ``batch`` crops in memory.

    Args:
        predict: (batch, channels, side, side) -> (batch, classes) logits, by way of ``network``.
        network: in evaluation mode.
    """
    losses, moments = [], []
    with ExitStack() as stack:
        stack.enter_context(Kernels(twice=False))
        arriving: list[torch.Tensor] = []
        for layer in batch_norms(network).values():
            hook = layer.register_forward_pre_hook(lambda _, given: arriving.append(_moments(given[0])))
            stack.callback(hook.remove)
        for patient in patients:
            kept: list[tuple[torch.Tensor, np.ndarray, torch.Tensor]] = []
            for film in views.cohort.films_of[patient]:
                for crops, classes in views.scan(film, batch, device):
                    arriving.clear()
                    logits = views.asked(predict(crops).double())
                    wanted = torch.from_numpy(classes.astype(np.int64).clip(0)).to(device)
                    loss = F.cross_entropy(logits, wanted, reduction="none").cpu()
                    seen = torch.cat(arriving, 1).cpu() if arriving else torch.zeros(len(crops), 0, dtype=torch.float64)
                    kept.append((loss, classes, seen))
            weights = torch.from_numpy(views.weights(np.concatenate([classes for _, classes, _ in kept])))
            losses.append(float(weights @ torch.cat([loss for loss, _, _ in kept])))
            moments.append((weights @ torch.cat([seen for _, _, seen in kept])).numpy())
    return PatientFeatures(np.array(losses), np.stack(moments))


def norm_moments(network: nn.Module, theta_bn: dict[str, torch.Tensor]) -> np.ndarray:
    """(2 c,) means and mean squares of ``theta_bn``: unlike a variance, both average over patients."""
    parts = []
    for name in batch_norms(network):
        mean = theta_bn[f"{name}.running_mean"].double().cpu()
        parts += [mean, theta_bn[f"{name}.running_var"].double().cpu() + mean.square()]
    return torch.cat(parts).numpy() if parts else np.zeros(0)


def _moments(given: torch.Tensor) -> torch.Tensor:
    """(batch, 2 channels) float64 of a layer's input (batch, channels, ...)."""
    values = given.double().flatten(2) if given.ndim > 2 else given.double()[..., None]
    return torch.cat([values.mean(2), values.square().mean(2)], 1)
