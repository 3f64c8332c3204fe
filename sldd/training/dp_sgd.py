"""Differential privacy by patient: DP-SGD on the outer gradient (Abadi et al. 2016; McMahan et al. 2018 by user).

What real patients contribute to an outer step is g = dL/dtheta_opt; all that follows, the adjoint included, depends on
what is released anyway (images, labels, rates, the start). So g is made private and the rest is post-processing: a
patient takes part in a step by the toss of a coin, the gradient of the patient's patches is clipped to a norm C,
Gaussian noise of deviation sigma C is added to the sum over patients, and the sum divided by how many are expected.

epsilon is for the presence of one training patient, all of the patient's films included, in the package that one trial
leaves. It does not cover the mean and deviation by which gray values are standardised, validation patients (the
threshold is chosen on them), nor the trials of the search that chose rates. The last state is kept, not the best.

The coins and the noise come from a key that is drawn when a trial starts and kept nowhere: with the seed that a package
names anyone could draw them again and take the noise off. So no two private runs are alike.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from torch import nn

from sldd.backbones.norms import batch_norms
from sldd.data.patches import CLASSES, IRRELEVANT, Patches, class_windows
from sldd.errors import InputError
from sldd.ops.types import Weights
from sldd.ops.windows import Window
from sldd.training.compute import ComputeSettings, outer_gradient


@dataclass(frozen=True)
class PrivacySettings:
    """DP-SGD on the outer gradient; off unless there is ``noise``."""

    noise: Annotated[float, Gt(0)] | None = None
    """sigma: deviation of the noise in units of ``clip``."""
    clip: Annotated[float, Gt(0)] = 1.0
    """C: the largest norm of a patient's gradient."""
    delta: Annotated[float, Gt(0), Lt(1)] = 1e-3
    """Of (epsilon, delta): choose it well below one over the number of training patients."""
    patches: Annotated[int, Ge(1)] = 6
    """Patches of a patient in a step; ``outer.batch_size`` over this is how many patients are expected in one."""

    def rate(self, batch_size: int, patients: int) -> float:
        """Probability with which each of so many patients takes part in a step."""
        return min(1.0, batch_size / self.patches / patients)

    def epsilon(self, *, steps: int, batch_size: int, patients: int) -> float:
        """Epsilon spent in ``steps`` steps, by Opacus' Renyi accountant (Mironov 2017, Mironov et al. 2019).

        Raises:
            InputError: Opacus is not installed.
        """
        check_accountant()
        from opacus.accountants import RDPAccountant

        accountant = RDPAccountant()
        accountant.history = [(self.noise, self.rate(batch_size, patients), steps)]
        with warnings.catch_warnings():  # that another order might give less; what is given holds all the same
            warnings.simplefilter("ignore", UserWarning)
            return float(accountant.get_epsilon(self.delta))


def check_accountant() -> None:
    """Raise an InputError where Opacus is not installed: better before a trial than after it."""
    try:
        import opacus.accountants  # noqa: F401
    except ImportError:
        raise InputError("privacy.noise: epsilon needs Opacus; pip install 'sldd-study[privacy]'") from None


def refusal(network: nn.Module, image_init: str) -> str | None:
    """Why a configuration's private run would not be private; None where it is."""
    if image_init == "real":
        return "privacy: distill.image_init=real starts from patients' own patches; use noise"
    layers = batch_norms(network)
    if layers:
        return (
            f"privacy: batch norm ({next(iter(layers))}) would share the patients' statistics outside of epsilon; use "
            "grid.norm=group or none"
        )
    return None


class PatientBatches:
    """Poisson-sampled patches: each patient takes part in a step independently, with one probability.

    Args:
        patches: where crops come from.
        patients: the training patients.
        settings: how many patches each of them gives.

    Raises:
        InputError: a training patient has no mask.
    """

    def __init__(self, patches: Patches, patients: Sequence[int], settings: PrivacySettings) -> None:
        self._patches, self._settings = patches, settings
        self._windows = [class_windows(patches, patient) for patient in patients]
        self._secret = np.random.Generator(np.random.Philox(secrets.randbits(128)))

    def draw(self, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A step's patches.

        Every third patch of a patient is irrelevant, as in a balanced batch, and the others show the organ. Where the
        patient has none of one kind, all are of the other. A patient without any patch takes no part.

        Args:
            random: not used. It can be known, and who takes part must stay secret; the order of the calls decides.
            count: patches in a step, on average.

        Returns:
            (n, channels, input, input) patches and (n,) int64 classes, ``settings.patches`` of each patient in a row.
        """
        rate = self._settings.rate(count, len(self._windows))
        windows: list[Window] = []
        classes: list[int] = []
        for by_class in self._windows:
            present = [number for number, places in enumerate(by_class) if len(places)]
            if self._secret.random() >= rate or not present:
                continue
            in_organ = [number for number in present if number != IRRELEVANT] or present
            for turn in range(self._settings.patches):
                irrelevant = turn % len(CLASSES) == 0 and IRRELEVANT in present
                number = IRRELEVANT if irrelevant else in_organ[0]
                row = by_class[number][self._secret.integers(len(by_class[number]))]
                windows.append(Window(*map(int, row)))
                classes.append(number)
        if not windows:
            side = self._patches.settings.input_size
            return torch.zeros(0, self._patches.cohort.channels, side, side), torch.zeros(0, dtype=torch.int64)
        return self._patches.crop(windows), torch.tensor(classes)


class PrivateGradient:
    """The outer gradient, clipped by patient and with noise.

    Args:
        settings: with noise.
        batch_size: patches expected in a step.
    """

    def __init__(self, settings: PrivacySettings, batch_size: int) -> None:
        if settings.noise is None:
            raise ValueError("a private gradient needs noise")
        self._settings, self._expected = settings, batch_size / settings.patches
        self._sigma = settings.noise * settings.clip
        self._secret: torch.Generator | None = None
        self._loss = 0.0

    def __call__(
        self,
        forward: Callable[[Weights, torch.Tensor], torch.Tensor],
        weights: Weights,
        images: torch.Tensor,
        classes: torch.Tensor,
        compute: ComputeSettings,
    ) -> tuple[float, Weights]:
        """As ``sldd.training.compute.outer_gradient``, of a batch by ``PatientBatches``.

        The loss is the mean over the patients of the batch; of an empty batch, that of the last that was not. It is
        not private: it stays in the ledger.
        """
        total = [torch.zeros_like(weight) for weight in weights]
        losses = []
        size = self._settings.patches  # so that each part is one patient
        for part, truth in zip(images.split(size), classes.split(size), strict=True):
            if not len(part):  # an empty batch splits into one empty part
                break
            loss, gradient = outer_gradient(forward, weights, part, truth, compute)
            losses.append(float(loss))
            torch._foreach_add_(total, clipped(gradient, self._settings.clip))
        if losses:
            self._loss = sum(losses) / len(losses)
        with torch.no_grad():
            for summed in total:
                summed.add_(self._noise(summed)).div_(self._expected)
        return self._loss, total

    def _noise(self, like: torch.Tensor) -> torch.Tensor:
        if self._secret is None or self._secret.device != like.device:
            self._secret = torch.Generator(like.device)
            self._secret.manual_seed(secrets.randbits(63))
        return torch.randn(like.shape, generator=self._secret, device=like.device, dtype=like.dtype) * self._sigma


def clipped(gradient: Sequence[torch.Tensor], most: float) -> Weights:
    """A gradient scaled down to a norm of at most ``most``; one that is not finite becomes nothing."""
    norm = torch.stack([part.norm() for part in gradient]).norm()
    factor = torch.where(norm.isfinite(), (most / norm.clamp(min=1e-12)).clamp(max=1.0), 0.0)
    return [torch.where(norm.isfinite(), part * factor, torch.zeros_like(part)) for part in gradient]
