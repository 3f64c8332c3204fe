"""Per-patient loss and batch-norm input moments, for the privacy attacks.

They are means over all views of a patient (patches, or whole images), weighted as in a training batch, and take one
pass over the patient's films.
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
    with Kernels(twice=False), _norm_input_moments(network) as take_moments:

        def loss_and_moments(patient: int) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
            """(n, 1 + 2 c) float64 of a patient's views, at most ``batch`` at a time, and their (n,) classes."""
            for film in views.cohort.films_of[patient]:
                for crops, classes in views.scan(film, batch, device):
                    logits = views.asked(predict(crops).double())
                    truth = torch.from_numpy(classes.astype(np.int64).clip(0)).to(device)  # without a class: the first
                    loss = F.cross_entropy(logits, truth, reduction="none")[:, None]
                    yield torch.cat([loss, *take_moments(loss)], 1), classes

        found = np.stack([_weighted_mean(views, loss_and_moments(patient)) for patient in patients])
    return PatientFeatures(found[:, 0], found[:, 1:])


def _weighted_mean(views: Views, parts: Iterator[tuple[torch.Tensor, np.ndarray]]) -> np.ndarray:
    """(k,) mean of a patient's values, weighted by ``Views.weights``.

    Views of one class weigh the same, so that a sum for each class is all that is kept of a large film.

    Args:
        parts: (n, k) values of some of the patient's views, and (n,) classes of these.
    """
    sums: dict[int, torch.Tensor] = {}
    shown = []
    for values, classes in parts:
        for number in np.unique(classes).tolist():
            of_class = torch.from_numpy(classes == number).to(values.device)
            part = values[of_class].sum(0).cpu()
            sums[number] = sums[number] + part if number in sums else part
        shown.append(classes)
    every = np.concatenate(shown)
    numbers, first = np.unique(every, return_index=True)
    weight_of_class = views.weights(every)[first]
    mean: np.ndarray = weight_of_class @ torch.stack([sums[number] for number in numbers.tolist()]).numpy()
    return mean


@contextmanager
def _norm_input_moments(network: nn.Module) -> Iterator[Callable[[torch.Tensor], list[torch.Tensor]]]:
    """Context that records what arrives at each layer of batch norm, by forward hooks.

    Yields:
        A function to call once after each forward pass, with any float64 tensor of the batch (batch, ...). It returns
        the (batch, 2 channels) ``_moments`` at each layer, in the order of ``batch_norms``, whatever the order in which
        layers were called, and forgets them. For a layer that was called more than once it is the mean over the calls,
        as running statistics are; for one that was not called, zeros of the given tensor's length and device.
    """
    layers = batch_norms(network)
    calls: dict[str, list[torch.Tensor]] = {name: [] for name in layers}

    def take_moments(of_batch: torch.Tensor) -> list[torch.Tensor]:
        moments = []
        for name, layer in layers.items():
            found = calls[name] or [of_batch.new_zeros(len(of_batch), 2 * layer.num_features)]
            moments.append(torch.stack(found).mean(0))
            calls[name] = []
        return moments

    with ExitStack() as stack:
        for name, layer in layers.items():
            hook = layer.register_forward_pre_hook(lambda _, given, name=name: calls[name].append(_moments(given[0])))
            stack.callback(hook.remove)
        yield take_moments


def norm_moments(network: nn.Module, theta_bn: dict[str, torch.Tensor]) -> np.ndarray:
    """(2 c,) means and mean squares of ``theta_bn``: unlike a variance, a mean square is the average of patients' own.

    Layers are in the order of ``batch_norms``; each has its means, then its mean squares (variance + mean^2).
    """
    parts = []
    for name in batch_norms(network):
        mean = theta_bn[f"{name}.running_mean"].double().cpu()
        parts += [mean, theta_bn[f"{name}.running_var"].double().cpu() + mean.square()]
    return torch.cat(parts).numpy() if parts else np.zeros(0)


def _moments(given: torch.Tensor) -> torch.Tensor:
    """(batch, 2 channels) float64 mean and mean square of each channel of a layer's input (batch, channels, ...)."""
    values = given.double().flatten(2) if given.ndim > 2 else given.double()[..., None]
    return torch.cat([values.mean(2), values.square().mean(2)], 1)
