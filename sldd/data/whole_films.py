"""Whole radiographs as training data, scaled down to the input size: of patients with one label, or of one class each.

The former is comparison method 4 of Li et al. (2022, Table 2): one image a film, of its patient's class N or P. A film
casts no vote by arg-max, which would leave a patient's score at 0 or 1; its class probabilities stand in for vote
counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from sldd.data.cohort import Cohort
from sldd.data.patches import CLASSES, NEGATIVE, POSITIVE
from sldd.data.prefetch import draw_rows, in_turns
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
    """Batches of training films with as many N as P, or one more of either, drawn with replacement.

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
        labels = in_turns(random, count, len(self._of_label))
        films = [self._of_label[label][random.integers(len(self._of_label[label]))] for label in labels]
        return torch.cat([self._films.image(film) for film in films]), torch.from_numpy(labels + NEGATIVE)


def exclusive_classes(cohort: Cohort) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes, and (films,) int64 the class of each film.

    A single finding, there or not on every film, is two classes.

    Raises:
        InputError: a film has several of the cohort's classes, or none of them.
    """
    labels = cohort.film_labels
    if len(cohort.classes) == 1 and not np.isnan(labels).any():
        name = cohort.classes[0]
        return (f"no {name}", name), labels[:, 0].astype(np.int64)
    wrong = np.flatnonzero((labels == 1).sum(1) != 1)
    if len(wrong):
        raise InputError(
            f"{cohort.wheres[wrong[0]] if cohort.wheres else f'image {wrong[0] + 1}'}: "
            f"{int((labels[wrong[0]] == 1).sum())} of {len(cohort.classes)} classes, and an image is of one"
        )
    return tuple(cohort.classes), (labels == 1).argmax(1)


class ClassBatches:
    """Batches of training films with as many of each class, or one more of some, drawn with replacement.

    Args:
        numbers: (films of the cohort,) the class of each.
        classes: names of the classes.

    Raises:
        InputError: no training film is of one of the classes.
    """

    def __init__(self, films: WholeFilms, patients: Sequence[int], numbers: np.ndarray, classes: Sequence[str]) -> None:
        self._films, self._classes = films, classes
        rows = np.array([film for patient in patients for film in films.cohort.films_of[patient]], np.int64)
        self._of_class = [rows[numbers[rows] == number] for number in range(len(classes))]
        for name, of_class in zip(classes, self._of_class, strict=True):
            if not len(of_class):
                raise InputError(f"no training image of class {name}; change data.split, or add some")

    @property
    def fingerprint(self) -> str | None:
        """Digest of the films that batches are drawn from, and of their classes; None where they have none."""
        content = self._films.fingerprint
        return content and digest("class batches, turns drawn", content, [rows.tolist() for rows in self._of_class])

    @property
    def size(self) -> int:
        """Training films."""
        return sum(map(len, self._of_class))

    def draw(self, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(count, channels, side, side) float32 films and (count,) int64 classes, in turns.

        Raises:
            InputError: as of ``in_turns``.
        """
        classes = in_turns(random, count, len(self._of_class))
        return self.of_classes(random, classes.tolist()), torch.from_numpy(classes)

    @property
    def counts(self) -> dict[str, int]:
        """Training films of each class."""
        return {name: len(rows) for name, rows in zip(self._classes, self._of_class, strict=True)}

    def of_classes(self, random: np.random.Generator, classes: Sequence[int], *, apart: bool = False) -> torch.Tensor:
        """(len(classes), channels, side, side) float32 films, one of each class in turn; as of ``draw_rows``."""
        rows = draw_rows(random, [len(rows) for rows in self._of_class], classes, apart=apart)
        picked = [self._of_class[number][row] for number, row in zip(classes, rows, strict=True)]
        return torch.cat([self._films.image(int(film)) for film in picked])
