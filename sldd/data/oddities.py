"""Outlier films of a cohort: unusual value range, flat, saturated, inverted.

A 12-bit film in a 16-bit file is a good film among others of its kind, and sixteen times too dark among those that fill
their 16 bits. No rule for one file can tell; beside the others it shows. Films are named, never changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_THUMBNAIL = 8
"""Pixels of a thumbnail's side: each stands for an eighth of the film's height and width."""
_SAMPLES = 4
"""Of a film, 4 x 4 pixels are looked at for each of the thumbnail."""
_FEWEST = 5
"""Films that a cohort needs for its median film to say what is usual."""
_RANGE_FACTOR = 3.5
"""Times that a film's range is wider or narrower than the usual one, to be odd: films of two bits more differ by 4, and
exposures of one device by less than this."""
_MOST_ONE_VALUE = 0.75
"""Share of pixels of one value, above which a film is saturated, or nearly empty."""
_USUAL_ONE_VALUE = 0.5
"""Where the median film has this share, such films are usual, and none is named."""
_ALIKE = 0.65
"""Cosine between a film's thumbnail and the cohort's pattern. Below minus this a film is a negative of the others,
provided that half of all films are at least as much like the pattern or its negative."""
_ROUNDS = 8
"""In which the pattern is found."""
_NAMED = 3
"""Films that a message names; it counts the others."""


@dataclass(frozen=True)
class FilmStats:
    """Gray-value statistics of a film, by which outliers are found."""

    low: int
    """Below which a thousandth of its pixels are."""
    high: int
    """Above which a thousandth of its pixels are."""
    levels: int
    """Different values."""
    commonest: float
    """Share of pixels of the commonest value."""
    thumbnail: np.ndarray
    """(64,) float32 sums of 8 x 8 parts, less their mean, of length 1; zeros where the film is flat."""


def film_stats(pixels: np.ndarray, levels: np.ndarray, counts: np.ndarray) -> FilmStats:
    """Statistics of one film.

    Args:
        pixels: (height, width) or (height, width, channels).
        levels: (levels,) the different values, rising, padding left out.
        counts: (levels,) how many pixels have each.
    """
    below = counts.cumsum()
    total = int(below[-1])
    low, high = levels[below.searchsorted((0.001 * total, 0.999 * total))].tolist()
    return FilmStats(low, high, len(levels), int(counts.max()) / total, _thumbnail(pixels))


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    """See ``FilmStats.thumbnail``; of a regular sample of 32 x 32 pixels, so that large films take no longer."""
    if pixels.ndim > 2:
        pixels = pixels.sum(axis=2, dtype=np.uint32)
    side = _THUMBNAIL * _SAMPLES
    steps = [length // side for length in pixels.shape]
    if min(steps):
        down, across = steps
        sample = pixels[down // 2 : down * side : down, across // 2 : across * side : across]
    else:  # fewer pixels than the sample has on a side: some are there twice
        sample = pixels[np.ix_(*(np.arange(side) * length // side for length in pixels.shape))]
    sums = sample.reshape(_THUMBNAIL, _SAMPLES, _THUMBNAIL, _SAMPLES).sum(axis=(1, 3), dtype=np.float32).ravel()
    sums -= np.add.reduce(sums) / sums.size
    length = float(np.dot(sums, sums)) ** 0.5
    return sums / length if length else sums


def find_oddities(films: Sequence[FilmStats]) -> list[tuple[str, list[int]]]:
    """Messages on outliers, each with the numbers of its films."""
    groups = []
    for levels, words in ((1, "one gray value all over"), (2, "two gray values only, as masks have")):
        numbers = [number for number, film in enumerate(films) if film.levels == levels]
        if numbers:
            groups.append((words, numbers))
    others = [number for number, film in enumerate(films) if film.levels > 2]
    if len(films) < _FEWEST or not others:
        return groups
    return groups + _far(films, others) + _saturated(films, others) + _negatives(films, others)


def places(wheres: Sequence[str]) -> str:
    """``manifest.csv lines 3, 7, 9 and 4 more``, of films as messages call them."""
    parts = [re.fullmatch(r"(.* )?(line|image|film) (\d+)( of \d+ by name)?", where) for where in wheres]
    ends = {(part[1] or "", part[2], part[4] or "") for part in parts if part}
    more = f" and {len(wheres) - _NAMED:,} more" if len(wheres) > _NAMED else ""
    if all(parts) and len(ends) == 1 and len(wheres) > 1:
        before, word, after = ends.pop()
        numbers = ", ".join(part[3] for part in parts[:_NAMED] if part)
        return f"{before}{word}s {numbers}{more}{after}"
    return ", ".join(wheres[:_NAMED]) + more


def _far(films: Sequence[FilmStats], others: list[int]) -> list[tuple[str, list[int]]]:
    """Films whose range is much smaller, much larger or elsewhere than usual."""
    lows = np.array([films[number].low for number in others])
    highs = np.array([films[number].high for number in others])
    low, high = float(np.median(lows)), float(np.median(highs))
    usual = max(high - low, 1.0)
    ratio = np.maximum(highs - lows, 1) / usual
    # Of a range from near black also the brightest value counts: a dark film is dark, even where it spreads.
    narrow = (ratio < 1 / _RANGE_FACTOR) | (highs * _RANGE_FACTOR < high)
    wide = ratio > _RANGE_FACTOR
    elsewhere = ((lows > high) | (highs < low)) & ~narrow & ~wide
    groups = []
    for words, odd in (("narrower", narrow), ("wider", wide), ("elsewhere", elsewhere)):
        numbers = [number for number, is_odd in zip(others, odd, strict=True) if is_odd]
        if numbers:
            at = f"{int(lows[odd].min()):,} to {int(highs[odd].max()):,}"
            usually = f"{int(low):,} to {int(high):,}"
            groups.append((f"values of {at}, where usual ones are {usually} ({words}); another bit depth?", numbers))
    return groups


def _saturated(films: Sequence[FilmStats], others: list[int]) -> list[tuple[str, list[int]]]:
    """Films of which most is one value, where that is not usual."""
    shares = np.array([films[number].commonest for number in others])
    if np.median(shares) >= _USUAL_ONE_VALUE:
        return []
    numbers = [number for number in others if films[number].commonest > _MOST_ONE_VALUE]
    return [("most of it is one gray value (saturated, or nearly empty)", numbers)] if numbers else []


def _negatives(films: Sequence[FilmStats], others: list[int]) -> list[tuple[str, list[int]]]:
    """Films that look like the negatives of the others, where these look alike.

    The pattern is the sum of all thumbnails, those of negatives with their sign turned. Which films are negatives
    follows from the pattern, so the two are found in turns, from any film on.
    """
    thumbnails = np.stack([films[number].thumbnail for number in others])  # (others, 64)
    alike = (thumbnails * thumbnails[len(thumbnails) // 2]).sum(axis=1)  # (others,) cosines
    for _ in range(_ROUNDS):
        pattern = (thumbnails * np.sign(alike)[:, None]).sum(axis=0)
        alike = (thumbnails * pattern).sum(axis=1) / max(float((pattern * pattern).sum()) ** 0.5, 1e-9)
    if np.median(alike) < 0 or (np.median(alike) == 0 and alike.sum() < 0):  # most are its negatives: turn the pattern
        alike = -alike
    if np.median(np.abs(alike)) < _ALIKE:
        return []
    numbers = [number for number, cosine in zip(others, alike, strict=True) if cosine < -_ALIKE]
    return [("dark where the others are bright (inverted polarity?)", numbers)] if numbers else []
