"""Vote map of one radiograph: votes of its windows, where they lie, score and call (Li et al. 2022, 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from sldd.data.cohort import one_film
from sldd.data.patches import CLASSES, NEGATIVE, SMALLEST_PATCH, Patches, PatchSettings
from sldd.errors import InputError
from sldd.metrics.patient_votes import UNDECIDED, Votes
from sldd.ops.pixels import at_once
from sldd.ops.types import PerChannel
from sldd.ops.windows import in_pixels, window_starts

Call = Literal["positive", "negative", "undecided"]
_OTHER_SCALE = 10  # deviations between the mean gray value of a film and that of the patients of training


@dataclass(frozen=True, eq=False)
class FilmVotes:
    """The votes on one radiograph of ``shape`` (height, width) pixels.

    Attributes:
        votes: (rows, columns) class numbers by arg-max, window by window.
        size, stride: of the windows, in pixels.
        delta: the threshold on the score.
        classes: (rows, columns) classes of the windows by the organ mask; None without one. Whether the patient is N or
            P is not known here: windows inside the organ have the class ``NEGATIVE``.
    """

    shape: tuple[int, int]
    votes: np.ndarray
    size: int
    stride: int
    delta: float
    classes: np.ndarray | None = None

    @property
    def counts(self) -> np.ndarray:
        """(3,) votes for I, N and P."""
        return np.bincount(self.votes.ravel(), minlength=len(CLASSES))

    @property
    def score(self) -> float | None:
        """#P / (#N + #P) (Eq. 9); None where no window voted N or P."""
        known = np.zeros((len(CLASSES),) * 2)
        (score,) = Votes([0], np.zeros(1), self.counts[None], known).scores
        return None if score == UNDECIDED else float(score)

    @property
    def call(self) -> Call:
        """The patient's predicted class by the score; the undecided count as negative."""
        if self.score is None:
            return "undecided"
        return "positive" if self.score >= self.delta else "negative"

    @property
    def organ_counts(self) -> np.ndarray | None:
        """(3,) votes of the windows inside the organ; None without a mask."""
        if self.classes is None:
            return None
        return np.bincount(self.votes[self.classes == NEGATIVE], minlength=len(CLASSES))

    def cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The film cut where a window begins or ends: in a cell, all pixels lie under the same windows.

        Returns:
            Edges of the cells' rows and of their columns, in pixels, and (3, rows, columns) votes of the windows over
            each; none where no window reaches.
        """
        over, edges = [], []
        for side, count in zip(self.shape, self.votes.shape, strict=True):
            starts = np.arange(count) * self.stride
            edges.append(np.unique(np.concatenate([starts, starts + self.size, [0, side]])))
            begins = edges[-1][:-1]
            over.append((starts[:, None] <= begins) & (begins < starts[:, None] + self.size))
        down, across = (part.astype(np.int64) for part in over)
        counts = np.stack([down.T @ (self.votes == number) @ across for number in range(len(CLASSES))])
        return edges[0], edges[1], counts


def film_votes(
    predict: Callable[[torch.Tensor], torch.Tensor],
    pixels: np.ndarray,
    mask: np.ndarray | None,
    settings: PatchSettings,
    *,
    mean: PerChannel,
    std: PerChannel,
    delta: float,
    batch: int = 64,
) -> FilmVotes:
    """Count the votes of a radiograph's windows, as when a patient is scored.

    Args:
        predict: (batch, channels, input, input) -> (batch, 3) logits, in evaluation mode.
        pixels: of the film, as ``read_radiograph`` gives them.
        mask: (height, width) bool organ mask, if there is one; it changes no vote.
        mean, std: of the values of the patients of training, of each channel.

    Raises:
        InputError: the film is smaller than a window, on another gray scale, or the mask of another size.
    """
    height, width = pixels.shape[:2]
    if mask is not None and mask.shape != pixels.shape[:2]:
        raise InputError(
            f"the mask is {mask.shape[1]} x {mask.shape[0]} and the radiograph {width} x {height} pixels; draw the "
            "mask on the radiograph itself"
        )
    side = min(height, width)
    if (size := in_pixels(settings.size, side)) > side or size < SMALLEST_PATCH:
        raise InputError(
            f"the radiograph is {width} x {height} pixels and a patch of this package {size}; give it at the "
            "resolution that the radiographs of training had"
        )
    usual, spread = float(np.mean(mean)), float(np.max(std))
    if abs(pixels.mean() - usual) > _OTHER_SCALE * max(spread, 1e-6):
        raise InputError(
            f"the radiograph's gray values (mean {pixels.mean():.0f}) are not on the scale of the patients of training "
            f"(mean {usual:.0f}); give it the bit depth that their radiographs had"
        )
    patches = Patches(one_film(pixels, mask), settings, mean, std)
    size, stride = patches.geometry(0, scoring=True)
    most = at_once(batch, patches.cohort.channels, max(size, settings.input_size))
    with torch.no_grad():
        votes = [predict(crops).argmax(1).cpu().numpy() for crops, _ in patches.scan(0, most, torch.device("cpu"))]
    grid = (len(window_starts(height, size, stride)), len(window_starts(width, size, stride)))
    found = np.concatenate(votes).reshape(grid)
    return FilmVotes((height, width), found, size, stride, delta, patches.classes(0, scoring=True))
