"""Per-patient loss and batch-norm input moments, for the privacy attacks.

One pass over the patient's films, of which what is seen weighs as in a training batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
            order of ``norm_moments``: zeros where nothing ever arrives, which tells no patient from another;
            (patients, 0) without batch norm.
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
    """Compute losses and moments; never more than ``batch`` crops in memory, nor what the network makes of them.

    Args:
        predict: (batch, channels, side, side) -> (batch, classes) logits, by way of ``network``.
        network: in evaluation mode.
    """
    with Kernels(twice=False), _arriving(network) as arriving:

        def seen(crops: torch.Tensor, classes: np.ndarray) -> torch.Tensor:
            """(batch, 1 + 2 c) float64: the loss, and the moments."""
            logits = views.asked(predict(crops).double())
            wanted = torch.from_numpy(classes.astype(np.int64).clip(0)).to(device)
            loss = F.cross_entropy(logits, wanted, reduction="none")[:, None]
            return torch.cat([loss, *arriving(loss)], 1)

        def of(patient: int) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
            for film in views.cohort.films_of[patient]:
                for crops, classes in views.scan(film, batch, device):
                    yield seen(crops, classes), classes

        found = np.stack([_weighted_mean(views, of(patient)) for patient in patients])
    return PatientFeatures(found[:, 0], found[:, 1:])


def _weighted_mean(views: Views, parts: Iterator[tuple[torch.Tensor, np.ndarray]]) -> np.ndarray:
    """(k,) mean of a patient's (n, k) values, as they weigh by their (n,) classes."""
    sums: dict[int, torch.Tensor] = {}  # of each class, whose values weigh the same: no more is kept of a large film
    shown = []
    for values, classes in parts:
        for number in np.unique(classes).tolist():
            part = values[torch.from_numpy(classes == number).to(values.device)].sum(0).cpu()
            sums[number] = sums[number] + part if number in sums else part
        shown.append(classes)
    every = np.concatenate(shown)
    numbers, first = np.unique(every, return_index=True)
    total: np.ndarray = views.weights(every)[first] @ torch.stack([sums[number] for number in numbers.tolist()]).numpy()
    return total


@contextmanager
def _arriving(network: nn.Module) -> Iterator[Callable[[torch.Tensor], list[torch.Tensor]]]:
    """Context in which a function gives, beside a tensor of a batch, the (batch, 2 channels) ``_moments`` that arrived
    at each layer of batch norm: in the order of ``batch_norms``, whatever the order in which layers were called.

    Of a layer that is called more than once it is their mean, as running statistics are; where none is, zeros.
    """
    layers = batch_norms(network)
    calls: dict[str, list[torch.Tensor]] = {name: [] for name in layers}

    def arrived(beside: torch.Tensor) -> list[torch.Tensor]:
        moments = []
        for name, layer in layers.items():
            found = calls[name] or [beside.new_zeros(len(beside), 2 * layer.num_features)]
            moments.append(torch.stack(found).mean(0))
            calls[name] = []
        return moments

    with ExitStack() as stack:
        for name, layer in layers.items():
            hook = layer.register_forward_pre_hook(lambda _, given, name=name: calls[name].append(_moments(given[0])))
            stack.callback(hook.remove)
        yield arrived


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
