"""Views of patients: what a network sees of their films, patches or whole images, as attacks look at them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from sldd.data.cohort import Cohort
from sldd.data.patches import CLASSES, IRRELEVANT, NEGATIVE, POSITIVE, Patches
from sldd.data.whole_films import WholeFilms
from sldd.ops.windows import Window, window_starts
from sldd.rng import stream


class Views(ABC):
    """What a network sees of each patient: patches or whole images, called views, each of a class.

    Attributes:
        cohort: of the patients.
        words: what reports call views, ``patches`` or ``images``.
        names: names of the patients' labels.
        labels: (patients,) each one's label, a place in ``names``. Patients are compared with others of their label.
        rare_together: whether patients of several rare labels may be compared with each other.
    """

    cohort: Cohort
    words: str
    names: Sequence[str]
    labels: np.ndarray
    rare_together = False

    @abstractmethod
    def scan(self, film: int, batch: int, device: torch.device) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        """(n, channels, side, side) views of a film, at most ``batch`` at once, and (n,) classes; below 0 for none."""

    @abstractmethod
    def weights(self, classes: np.ndarray) -> np.ndarray:
        """(n,) float64 weights, which sum to 1, of a patient's views by their (n,) classes: a class weighs as much as
        in a training batch, and views of one class weigh the same."""

    @abstractmethod
    def one_each(self, patients: Sequence[int], seed: int) -> torch.Tensor:
        """(patients, channels, side, side): one view of each patient at random."""

    def asked(self, logits: torch.Tensor) -> torch.Tensor:
        """(n, classes) logits for the loss: a class that no view can be judged by is taken out."""
        return logits

    def densely(self) -> Views:
        """The views at the training stride, so that all that the network may have trained on is among them."""
        return self


class PatchViews(Views):
    """Patches at the scoring stride, of the classes irrelevant, negative and positive.

    A training batch has a third of each class. So a patient's irrelevant patches weigh a third together, and those of
    the organ, which are all of the patient's label, two thirds.
    """

    words, names = "patches", ("negative", "positive")

    def __init__(self, patches: Patches) -> None:
        self.patches, self.cohort = patches, patches.cohort
        self.labels = np.array(self.cohort.labels)
        self._by_mask = all(self.cohort.has_mask)  # one rule for all, or patients could not be compared

    def scan(self, film: int, batch: int, device: torch.device) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        label = POSITIVE if self.labels[self.cohort.film_patients[film]] else NEGATIVE
        for crops, classes in self.patches.scan(film, batch, device):
            if classes is None or not self._by_mask:
                classes = np.full(len(crops), label, np.int8)
            yield crops, classes

    def weights(self, classes: np.ndarray) -> np.ndarray:
        share = 1 / len(CLASSES)
        return _weights_by_share([classes == IRRELEVANT, classes > IRRELEVANT], [share, 1 - share])

    def asked(self, logits: torch.Tensor) -> torch.Tensor:
        """Without masks whether a patch shows the organ is not known: only its vote counts."""
        irrelevant = torch.tensor([IRRELEVANT], device=logits.device)
        return logits if self._by_mask else logits.index_fill(1, irrelevant, -1e4)

    def one_each(self, patients: Sequence[int], seed: int) -> torch.Tensor:
        """A patch of each patient, of the organ where a mask says which are."""
        random = stream(seed, "anonymity", "probes")
        windows = []
        for patient in patients:
            film = int(random.choice(self.cohort.films_of[patient]))
            size, stride = self.patches.geometry(film, scoring=True)
            height, width = self.cohort.shapes[film]
            rows, columns = (window_starts(side, size, stride) for side in (height, width))
            classes = self.patches.classes(film, scoring=True)
            places = np.arange(len(rows) * len(columns))
            if classes is not None and (classes > IRRELEVANT).any():
                places = np.flatnonzero(classes.ravel() > IRRELEVANT)
            row, column = divmod(int(random.choice(places)), len(columns))
            windows.append(Window(film, int(rows[row]), int(columns[column]), size))
        return self.patches.crop(windows)

    def densely(self) -> PatchViews:
        settings = replace(self.patches.settings, score_stride=None)
        return PatchViews(Patches(self.cohort, settings, self.patches.mean, self.patches.std))


class ImageViews(Views):
    """Whole images of one class each; the classes of a patient's images weigh the same, as in a batch.

    A patient is of the class that most of the images show, the first where several do.

    Args:
        numbers: (films of the cohort,) class of each.
        classes: their names.
    """

    words, rare_together = "images", True

    def __init__(self, films: WholeFilms, numbers: np.ndarray, classes: Sequence[str]) -> None:
        self.films, self.cohort, self.names = films, films.cohort, classes
        self._numbers = numbers
        shown = [np.bincount(numbers[rows], minlength=len(classes)) for rows in self.cohort.films_of]
        self.labels = np.stack(shown).argmax(1)

    def scan(self, film: int, batch: int, device: torch.device) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        yield self.films.image(film).to(device), self._numbers[film : film + 1]

    def weights(self, classes: np.ndarray) -> np.ndarray:
        parts = [classes == number for number in range(len(self.names))]
        return _weights_by_share(parts, [1.0] * len(parts))

    def one_each(self, patients: Sequence[int], seed: int) -> torch.Tensor:
        random = stream(seed, "anonymity", "probes")
        chosen = [int(random.choice(self.cohort.films_of[patient])) for patient in patients]
        return torch.cat([self.films.image(film) for film in chosen])


def _weights_by_share(parts: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    """(n,) float64 weights that sum to 1: each part's add up to its share of the shares of those that are not empty.

    Args:
        parts: (n,) bool each, which views are of it.
        shares: one for each part.
    """
    present = [(part, share) for part, share in zip(parts, shares, strict=True) if part.any()]
    if not present:  # a mask that leaves nothing to train on
        return np.full(len(parts[0]), 1 / len(parts[0]))
    weights = sum(share * part / part.sum() for part, share in present) / sum(share for _, share in present)
    assert isinstance(weights, np.ndarray)
    return weights
