"""Similarity of images to what is seen of patients: by pixels, by structure (SSIM), and by a network's features.

One pass over a patient's films keeps the patch, or whole image, most like every image, and nothing else. All three
measures ignore brightness (the first two that of each channel) and contrast, which would hide a copy; 1 is a copy.

- pixel: correlation of the values, without its sign: a negative gives a patient away as well.
- ssim: structural similarity (Wang et al. 2004) at equal brightness and contrast, of those patches that correlate most.
- feature: cosine of both one's features, by a network that had no part in the distillation; each feature is
  standardised over real patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from sldd.privacy_attacks.views import Views

MEASURES = ("pixel", "ssim", "feature")
CANDIDATES = 4
"""Patches of a patient, an image, whose structural similarity is looked at: those that correlate most with it. All of
them would take a hundred times as long as the rest together, and what is alike in structure correlates."""
_GRAY_RANGE = 6.0
"""Gray values of an image whose deviation is 1: three deviations to either side."""
_FLAT = 1e-3
"""Deviation, in units of the cohort's, below which there is nothing to compare."""

Features = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Similarities:
    """Highest similarity of each image to a patch of each patient.

    Attributes:
        patients: patient numbers, the rows.
        windows: (patients,) patches looked at.
        best: (patients, images) float64 by measure.
    """

    patients: list[int]
    windows: np.ndarray
    best: dict[str, np.ndarray]

    def of(self, images: slice) -> Similarities:
        """Similarities of some of the images."""
        return replace(self, best={measure: values[:, images] for measure, values in self.best.items()})


@torch.no_grad()
def most_alike(
    images: torch.Tensor,
    views: Views,
    patients: Sequence[int],
    features: Features,
    *,
    batch: int,
    device: torch.device,
) -> Similarities:
    """Compare images with all that is seen of every patient; never more than ``batch`` crops in memory.

    Args:
        images: (images, channels, side, side), standardised as the views are.
        features: (n, channels, side, side) -> (n, d), as ``standardised`` gives them.
    """
    images = images.to(device)
    normal, image_features = _unit(images), F.normalize(features(images), dim=1)
    best = {measure: np.full((len(patients), len(images)), -1.0) for measure in MEASURES}
    windows = np.zeros(len(patients), np.int64)
    for row, patient in enumerate(patients):
        # Crops that correlate most with each image: none yet.
        correlation = torch.zeros(len(images), 0, device=device)
        kept = images.new_zeros(len(images), 0, *images.shape[1:])
        for film in views.cohort.films_of[patient]:
            for crops, _ in views.scan(film, batch, device):
                windows[row] += len(crops)
                cosine = image_features @ F.normalize(features(crops), dim=1).T
                best["feature"][row] = np.maximum(best["feature"][row], _highest(cosine))
                correlation, kept = _most_correlating(correlation, kept, normal, _unit(crops))
        best["pixel"][row] = _highest(correlation.abs())
        best["ssim"][row] = _highest(_ssim(normal, correlation, kept))
    return Similarities(list(patients), windows, best)


def standardised(network: Features, real: torch.Tensor) -> Features:
    """A feature extractor, standardised over real patches; a network's raw features are all alike.

    Args:
        network: (n, channels, side, side) -> (n, ...) features.
        real: (n, channels, side, side) views, of patients who did not train.
    """
    with torch.no_grad():
        known = network(real).flatten(1)
    mean, std = known.mean(0), known.std(0)
    used = std > 1e-3 * std.max()  # a dead unit, divided by almost nothing, would decide every cosine
    return lambda images: (network(images).flatten(1)[:, used] - mean[used]) / std[used]


def _unit(images: torch.Tensor) -> torch.Tensor:
    """Images of mean 0 and length 1; one without structure becomes 0 and correlates with nothing."""
    centred = images - images.mean((2, 3), keepdim=True)
    length = centred.flatten(1).norm(dim=1)
    flat = length < _FLAT * images[0].numel() ** 0.5
    return centred * torch.where(flat, 0.0, 1.0 / length.clamp(min=1e-12))[:, None, None, None]


def _most_correlating(
    correlation: torch.Tensor, kept: torch.Tensor, images: torch.Tensor, crops: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``CANDIDATES`` crops that correlate most with each image, of those kept until now and of more ``crops``.

    Args:
        correlation: (images, kept) of those kept, with its sign.
        kept: (images, kept, channels, side, side).
        images, crops: (images, channels, side, side) and (crops, channels, side, side), by ``_unit``.

    Returns:
        ``correlation`` and ``kept`` anew.
    """
    found = images.flatten(1) @ crops.flatten(1).T
    strongest = found.abs().topk(min(CANDIDATES, len(crops)), dim=1).indices
    found = torch.cat([correlation, found.gather(1, strongest)], 1)
    kept = torch.cat([kept, crops[strongest]], 1)
    strongest = found.abs().topk(min(CANDIDATES, found.shape[1]), dim=1).indices
    return found.gather(1, strongest), kept[torch.arange(len(kept), device=kept.device)[:, None], strongest]


def _ssim(images: torch.Tensor, correlation: torch.Tensor, crops: torch.Tensor) -> torch.Tensor:
    """(images, kept) structural similarity of each image to its crops; a negative of the image is inverted first.

    Args:
        images: (images, channels, side, side), by ``_unit``.
        correlation: (images, kept), with its sign; where it is 0, so is the similarity.
        crops: (images, kept, channels, side, side), by ``_unit``.
    """
    scale = images[0].numel() ** 0.5  # from length 1 to deviation 1
    repeated = images[:, None].expand_as(crops).flatten(0, 1) * scale
    positives = (crops * correlation.sign()[..., None, None, None]).flatten(0, 1) * scale
    values = structural_similarity_index_measure(
        repeated,
        positives,
        sigma=1.5 if images.shape[-1] >= 16 else 0.5,  # its window must fit into the image
        data_range=_GRAY_RANGE,
        reduction="none",
    )
    assert isinstance(values, torch.Tensor)
    return torch.where(correlation != 0, values.view(correlation.shape), 0.0)


def _highest(values: torch.Tensor) -> np.ndarray:
    """(images,) float64 highest of (images, n) values."""
    highest: np.ndarray = values.amax(1).double().cpu().numpy()
    return highest
