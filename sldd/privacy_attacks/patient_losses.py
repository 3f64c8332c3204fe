"""Per-patient loss and batch-norm input moments, for the privacy attacks.

One pass over the patient's films, at the scoring stride. A patient's patches weigh as in a batch of a third of each
class: the irrelevant ones a third, those of the organ two thirds.
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
from sldd.data.patches import CLASSES, IRRELEVANT, NEGATIVE, POSITIVE, Patches

_IRRELEVANT_SHARE = 1 / len(CLASSES)


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
    patches: Patches,
    patients: Sequence[int],
    *,
    batch: int,
    device: torch.device,
) -> PatientFeatures:
    """Compute losses and moments; never more than ``batch`` crops in memory.

    Args:
        predict: (batch, channels, side, side) -> (batch, 3) logits, by way of ``network``.
        network: in evaluation mode.
    """
    by_mask = all(patches.cohort.has_mask)  # one rule for all, or patients could not be compared
    losses, moments = [], []
    with ExitStack() as stack:
        arriving: list[torch.Tensor] = []
        for layer in batch_norms(network).values():
            hook = layer.register_forward_pre_hook(lambda _, given: arriving.append(_moments(given[0])))
            stack.callback(hook.remove)
        for patient in patients:
            kept: list[tuple[torch.Tensor, np.ndarray, torch.Tensor]] = []
            label = POSITIVE if patches.cohort.labels[patient] else NEGATIVE
            for film in patches.cohort.films_of[patient]:
                for crops, classes in patches.scan(film, batch, device):
                    arriving.clear()
                    logits = predict(crops).double()
                    known = classes if by_mask and classes is not None else np.full(len(crops), label, np.int8)
                    wanted = torch.from_numpy(known.astype(np.int64).clip(IRRELEVANT)).to(device)
                    if not by_mask:  # whether a patch shows the organ is not known: only its vote counts
                        logits = logits.index_fill(1, torch.tensor([IRRELEVANT], device=device), -1e4)
                    loss = F.cross_entropy(logits, wanted, reduction="none").cpu()
                    seen = torch.cat(arriving, 1).cpu() if arriving else torch.zeros(len(crops), 0, dtype=torch.float64)
                    kept.append((loss, known, seen))
            weights = torch.from_numpy(_weights(np.concatenate([known for _, known, _ in kept])))
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


def _weights(classes: np.ndarray) -> np.ndarray:
    """(patches,) float64 that sum to 1, by (patches,) classes."""
    irrelevant, organ = classes == IRRELEVANT, classes > IRRELEVANT
    parts = [(part, share) for part, share in ((irrelevant, _IRRELEVANT_SHARE), (organ, 1 - _IRRELEVANT_SHARE))]
    present = [(part, share) for part, share in parts if part.any()]
    if not present:  # a mask that leaves nothing to train on
        return np.full(len(classes), 1 / len(classes))
    weights = sum(share * part / part.sum() for part, share in present) / sum(share for _, share in present)
    assert isinstance(weights, np.ndarray)
    return weights
