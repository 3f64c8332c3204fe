"""Batches of whole films with several findings, and the real films that distilled ones start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sldd.data.whole_films import WholeFilms
from sldd.ops.digest import digest
from sldd.rng import stream


def label_counts(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(classes,) numbers of positive and of negative entries in (films, classes) labels; NaN is neither."""
    return (labels == 1).sum(0), (labels == 0).sum(0)


class FilmBatches:
    """Batches of training films, drawn uniformly with replacement; findings that are not known stay NaN.

    No class is balanced: the loss is (``sldd.training.weighted_bce``), and a film has several.
    """

    def __init__(self, films: WholeFilms, patients: Sequence[int]) -> None:
        self._films = films
        self._numbers = [film for patient in patients for film in films.cohort.films_of[patient]]
        self.labels: np.ndarray = films.cohort.film_labels[self._numbers]
        """(films, classes) float32: 0, 1 or NaN."""

    @property
    def fingerprint(self) -> str | None:
        """Digest of the films that batches are drawn from; None where they have none."""
        content = self._films.fingerprint
        return content and digest("film batches", content, self._numbers)

    @property
    def classes(self) -> list[str]:
        return self._films.cohort.classes

    @property
    def side(self) -> int:
        """Side of a film as the network sees it, in pixels."""
        return self._films.side

    @property
    def size(self) -> int:
        """Training films."""
        return len(self._numbers)

    @property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """(classes,) training films that are known to have a finding, and known not to."""
        return label_counts(self.labels)

    def draw(self, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(count, channels, side, side) float32 films and their (count, classes) float32 findings."""
        rows = random.integers(len(self._numbers), size=count)
        return self.images(rows), torch.from_numpy(self.labels[rows])

    def images(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """(rows, channels, side, side) float32 training films."""
        return torch.cat([self._films.image(self._numbers[row]) for row in rows])


def nearest_films(batches: FilmBatches, labels: torch.Tensor, *, steps: int, seed: int) -> torch.Tensor:
    """Real films to start distilled ones from: for each row of labels, a film with the nearest findings.

    The distance is the root mean square over the findings that are known. Of films equally near, chance decides; no
    film is taken twice while there are others.

    Args:
        labels: (M, classes) where soft labels start.

    Returns:
        (steps, M, channels, side, side) float32.
    """
    known = ~np.isnan(batches.labels)
    random = stream(seed, "real start")
    taken = np.zeros(batches.size, np.int64)
    chosen = []
    for row in labels.double().numpy().tolist() * steps:
        squares = np.where(known, np.nan_to_num(batches.labels) - np.array(row), 0.0) ** 2
        distance = squares.sum(1) / np.maximum(known.sum(1), 1)
        distance[~known.any(1)] = np.inf
        best = np.lexsort((random.random(batches.size), distance.round(6), taken))[0]
        taken[best] += 1
        chosen.append(int(best))
    return batches.images(chosen).unflatten(0, (steps, len(labels)))
