"""Self-test of a package: synthetic inputs, and the outputs that the rebuilt network should give.

The inputs are a function of a seed, exact in float32 and so the same bits everywhere; they show nothing of a patient.
Half of them are noise at several scales, half also hold a mix of two distilled images, where the network was taught.
Only the seed and the expected class probabilities are in the file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from sldd.ops.types import TaskName
from sldd.package.format.header import Marks, SelfTest
from sldd.package.format.package import INPUTS
from sldd.package.rebuild.rebuild import rebuild
from sldd.rng import bits
from sldd.training.losses import LOSSES

if TYPE_CHECKING:
    from torch import nn

    from sldd.package.format.package import Package

TOLERANCE = 1e-3
"""Most change of a class probability that passes."""
_SPREAD_SEED = 0
"""Of the change by which ``SelfTest.spread`` is measured; one for all packages."""
_BATCH = 8


@dataclass(frozen=True)
class Outcome:
    """Result of a self-test.

    Attributes:
        difference: largest change of a class probability.
        votes: of ``inputs`` synthetic inputs, those that are voted another class.
    """

    difference: float
    votes: int
    inputs: int

    @property
    def passed(self) -> bool:
        return self.difference <= TOLERANCE


def inputs(seed: int, images: torch.Tensor) -> torch.Tensor:
    """(INPUTS, channels, h, w) float32 synthetic patches, standardised as radiographs are.

    Every other one, from the first, is a mixture of distilled images under half the noise; the rest are noise alone.

    Args:
        images: (S, M, channels, h, w) distilled images.
    """
    made = _noise(seed, images.shape[2], images.shape[-1])
    made[::2] = made[::2] * np.float32(0.5) + _mixtures(seed, images)[::2]
    return torch.from_numpy(made)


@torch.no_grad()
def outputs(network: nn.Module, seen: torch.Tensor, task: TaskName = "patches") -> torch.Tensor:
    """(K, classes) float32 probabilities of a network in evaluation mode: of a class each, or of each finding."""
    logits = [network(part).double() for part in seen.split(_BATCH)]
    parts = [LOSSES[task].probabilities(part).float() for part in logits]
    return torch.cat(parts)


def with_self_test(
    package: Package,
    start: Path | str | None = None,
    original: torch.Tensor | None = None,
    own: nn.Module | None = None,
) -> Package:
    """The package with a self-test of its present content.

    Args:
        start, own: as of ``rebuild``.
        original: the images before they were stored as they are; the change of outputs is then noted.

    Raises:
        InputError: as of ``rebuild``.
    """
    seed = package.seed
    seen = inputs(seed, package.images)
    expected = outputs(rebuild(package, start, own), seen, package.task)
    shaken = replace(package, images=_shaken(package.images))
    spread = _largest(outputs(rebuild(shaken, start, own), seen, package.task), expected)
    stored = package.stored
    if original is not None:
        before = outputs(rebuild(replace(package, images=original), start, own), seen, package.task)
        stored = replace(stored, outputs=_largest(before, expected))
    test = SelfTest(seed, spread, marks(package))
    return replace(package, expected=expected, self_test=test, stored=stored)


def run(package: Package, network: nn.Module) -> Outcome:
    """Compare a rebuilt network with the package's self-test, which must be there."""
    assert package.self_test is not None
    assert package.expected is not None
    seen = inputs(package.self_test.seed, package.images)[: len(package.expected)]
    found = outputs(network, seen, package.task)
    votes = int((found.argmax(1) != package.expected.argmax(1)).sum())
    return Outcome(_largest(found, package.expected), votes, len(found))


def marks(package: Package) -> Marks:
    """Fingerprints of the package's parts."""
    return Marks(
        images=tuple(tuple(_mark(image) for image in step) for step in package.images),
        labels=tuple(tuple(_mark(label) for label in step) for step in package.labels),
        rates=_mark(package.rates),
        theta_bn={name: _mark(value) for name, value in package.theta_bn.items()},
    )


def _noise(seed: int, channels: int, side: int) -> np.ndarray:
    """(INPUTS, channels, side, side) float32 noise at several scales, and a brightness of each input's own.

    Half the sum of noises that are constant in each of 2 x 2, 4 x 4, 8 x 8 ... cells, up to single pixels.
    """
    noise = np.zeros((INPUTS, channels, side, side), np.float32)
    cells_a_side = 2
    while cells_a_side <= side:
        cells = _uniform(seed, f"cells {cells_a_side}", (INPUTS, channels, cells_a_side, cells_a_side))
        cell_of = np.arange(side) * cells_a_side // side
        noise += cells[:, :, cell_of[:, None], cell_of[None, :]]
        cells_a_side *= 2
    noise *= np.float32(0.5)
    noise += _uniform(seed, "brightness", (INPUTS, 1, 1, 1))
    return noise


def _mixtures(seed: int, images: torch.Tensor) -> np.ndarray:
    """(INPUTS, channels, h, w) float32: ``share * one + (1 - share) * other``, two distilled images drawn for each."""
    flat = images.flatten(0, 1).numpy()
    chosen = (_uniform(seed, "chosen", (2, INPUTS)) + 1) / 2 * len(flat)
    one, other = flat[np.minimum(chosen.astype(int), len(flat) - 1)]  # rounding may reach len(flat)
    share = (_uniform(seed, "share", (INPUTS, 1, 1, 1)) + 1) / 2
    mixed: np.ndarray = one * share + other * (1 - share)
    return mixed


def _mark(value: torch.Tensor) -> str:
    """Fingerprint of a tensor: the first 16 hexadecimal digits of the SHA-256 of its float32 bytes, little-endian."""
    return hashlib.sha256(value.contiguous().numpy().astype("<f4").tobytes()).hexdigest()[:16]


def _largest(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference of two tensors of probabilities, 1 at most; 1 also where one of them is not a number."""
    return min(1.0, float((one - other).abs().max()))


def _shaken(images: torch.Tensor) -> torch.Tensor:
    """Every value a millionth of itself higher or lower, by chance."""
    change = _uniform(_SPREAD_SEED, "spread", tuple(images.shape))
    return images * (1 + 1e-6 * torch.from_numpy(np.sign(change)))


def _uniform(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform in [-1, 1): the top 24 of each 32 raw bits, which float32 holds exactly (as ``sldd.backbones.init``)."""
    count = int(np.prod(shape))
    words = bits(seed, "self-test", name).random_raw((count + 1) // 2).view(np.uint32)[:count]
    unit = (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)
    return unit.reshape(shape)
