"""Whole radiographs as training data, scaled down to the input size: for ordinary training without organ masks.

Comparison method 4 of Li et al. (2022, Table 2): one image a film, of its patient's class N or P. A film casts no vote
by arg-max, which would leave a patient's score at 0 or 1; its class probabilities stand in for vote counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from sldd.data.cohort import Cohort
from sldd.data.patches import CLASSES, NEGATIVE, POSITIVE
from sldd.errors import InputError
from sldd.ops.digest import digest
from sldd.ops.pixels import at_least, planes, standardise
from sldd.ops.types import PerChannel

KEPT = 2**30
"""Bytes of scaled films that a process keeps; all others are scaled each time."""


class WholeFilms:
    """The films of a cohort at the network's input size, standardised, cached in memory while there is room.

    Args:
        cohort: where the pixels are.
        side: of the square input in pixels; a film that is no square is stretched to one.
        mean, std: of the training patients' values, of each channel.
    """

    soft_votes = True

    def __init__(self, cohort: Cohort, side: int, mean: PerChannel, std: PerChannel) -> None:
        self.cohort = cohort
        self.side, self.mean, self.std = side, mean, at_least(std)
        self._scaled: dict[int, torch.Tensor] = {}

    @property
    def fingerprint(self) -> str | None:
        """Digest of the films as they are shown; None where they have none."""
        cohort, how = self.cohort, [self.side, self.mean, self.std]
        return digest("films", cohort.fingerprint, cohort.folder.name, how) if cohort.fingerprint else None

    def image(self, film: int) -> torch.Tensor:
        """(1, channels, side, side) float32."""
        if film not in self._scaled:
            pixels = planes(self.cohort.pixels(film))[None]
            size = (self.side, self.side)
            scaled = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
            image = standardise(scaled, self.mean, self.std)
            if image.nbytes * len(self._scaled) >= KEPT:
                return image
            self._scaled[film] = image
        return self._scaled[film]

    def scan(self, film: int, batch: int, device: torch.device) -> Iterator[tuple[torch.Tensor, np.ndarray | None]]:
        """The whole film as its only window, as of ``Patches.scan``; it has no patch class."""
        yield self.image(film).to(device), None


class WholeBatches:
    """Batches of training films with equal numbers of N and P, drawn with replacement.

    Raises:
        InputError: all training patients have the same label.
    """

    def __init__(self, films: WholeFilms, patients: Sequence[int]) -> None:
        self._films = films
        cohort = films.cohort
        self._of_label = [
            [film for patient in patients if cohort.labels[patient] == label for film in cohort.films_of[patient]]
            for label in (0, 1)
        ]
        for label, name in enumerate((CLASSES[NEGATIVE], CLASSES[POSITIVE])):
            if not self._of_label[label]:
                raise InputError(f"no training patient of class {name}; change data.split")

    def draw(self, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(count, channels, side, side) float32 films and (count,) int64 classes, N and P in turns."""
        labels = np.arange(count) % 2
        films = [self._of_label[label][random.integers(len(self._of_label[label]))] for label in labels]
        return torch.cat([self._films.image(film) for film in films]), torch.from_numpy(labels + NEGATIVE)
