"""Checks of a receiver's radiographs: how they differ from those of the package's training, and from each other.

A 12-bit film in a 16-bit file is sixteen times too dark for a package of films that fill their 16 bits. Where all of a
receiver's films are so, only the package's own mean and standard deviation can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sldd.data.oddities import FilmStats, film_stats, find_oddities, places
from sldd.io.film import Radiograph, by_channel, count_values
from sldd.ops.types import PerChannel
from sldd.package.apply.films import FilmFile
from sldd.package.format.header import Header

_SPREAD_FACTOR = 3.5
"""Between a film's standard deviation and the package's."""
_MOST_APART = 4.0
"""Standard deviations between a film's mean and the package's."""


@dataclass(frozen=True)
class FilmLook:
    """A film's size, and mean and deviation of its values at the package's depth, channel by channel, without padding.

    ``patient``: the patient's row; ``pixels``: that are no padding.
    """

    patient: int
    height: int
    width: int
    pixels: int
    means: tuple[float, ...]
    stds: tuple[float, ...]


class Remarks:
    """Collects what is odd about films, one by one.

    Args:
        header: of the package.
    """

    def __init__(self, header: Header) -> None:
        self._header = header
        self._said: dict[str, list[tuple[str, int]]] = {}
        self._films: list[tuple[str, int]] = []
        self._stats: list[FilmStats] = []
        self.looks: list[FilmLook] = []

    def add(self, row: int, film: FilmFile, radiograph: Radiograph, pixels: np.ndarray) -> None:
        """Look at a film.

        Args:
            row: of its patient.
            pixels: of the film, at the package's depth.
        """
        here = (film.where, row)
        for note in radiograph.notes:
            self._said.setdefault(note, []).append(here)
        stored = radiograph.pixels.dtype.itemsize * 8
        if stored != self._header.depth:
            self._said.setdefault(f"{stored} bit, scaled to the package's {self._header.depth}", []).append(here)
        inside = pixels if radiograph.padding is None else pixels[~radiograph.padding]
        each = [count_values(values) for values in by_channel(inside, self._header.channels)]
        counts = np.sum(each, axis=0)
        self._films.append(here)
        levels = np.flatnonzero(counts)
        self._stats.append(film_stats(pixels, levels, counts[levels]))
        means, stds = zip(*map(_moments, each), strict=True)
        self.looks.append(FilmLook(row, pixels.shape[0], pixels.shape[1], int(each[0].sum()), means, stds))
        if any(map(_far, means, stds, _each(self._header.mean), _each(self._header.deviation))):
            words = "gray values far from those that the package was made for; another bit depth, or another export?"
            self._said.setdefault(words, []).append(here)

    def found(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Lines that describe each oddity and where it is, and the rows of the patients."""
        groups = list(self._said.items())
        groups += [
            (words, [self._films[number] for number in numbers]) for words, numbers in find_oddities(self._stats)
        ]
        return tuple(
            (f"{places([where for where, _ in films])}: {words}", tuple(row for _, row in films))
            for words, films in groups
        )


def _each(values: PerChannel) -> tuple[float, ...]:
    return values if isinstance(values, tuple) else (values,)


def _moments(counts: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of a channel's values."""
    values = np.arange(len(counts))
    total = counts.sum()
    mean = float((counts * values).sum() / total)
    return mean, max(float((counts * values * values).sum() / total) - mean**2, 0.0) ** 0.5


def _far(mean: float, std: float, usual_mean: float, usual_std: float) -> bool:
    """Whether a channel's values are far from the package's."""
    usual = max(usual_std, 1e-6)
    return not usual / _SPREAD_FACTOR < std < usual * _SPREAD_FACTOR or abs(mean - usual_mean) > _MOST_APART * usual
