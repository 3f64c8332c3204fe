"""Summary of a cohort in a few lines: patients, films, labels, sizes, depths and gray values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from sldd.data.cohort import Cohort
from sldd.ops.types import PerChannel

_NAMED_SIZES = 3


def summary(cohort: Cohort) -> Iterator[str]:
    """The summary's lines, without ``notes``."""
    films = len(cohort.shapes)
    whose, what = cohort.words
    yield f"{_count(cohort.patients, whose)} with {_count(films, what)}; {_labels(cohort)}"
    if any(cohort.splits):
        counts = Counter(split or "none" for split in cohort.splits)
        yield f"splits, {whose}s: " + ", ".join(f"{count:,} {name}" for name, count in counts.items())
    yield f"sizes, width x height: {_sizes(cohort.shapes)}"
    yield f"{cohort.depth} bit{' in colour (RGB)' if cohort.channels > 1 else ''}; {_values(cohort)}"
    if not cohort.classes:
        yield _masks(cohort)
    padded = sum(
        height * width != pixels for (height, width), pixels in zip(cohort.shapes, cohort.film_pixels, strict=True)
    )
    if padded:
        yield f"padding, which counts as background: on {_count(padded, what)}"


def _labels(cohort: Cohort) -> str:
    if not cohort.classes:
        positive = sum(cohort.labels)
        return f"labels of patients: {cohort.patients - positive:,} negative (0), {positive:,} positive (1)"
    labels = cohort.film_labels
    found = []
    for name, column in zip(cohort.classes, labels.T, strict=True):
        unknown = int(np.isnan(column).sum())
        found.append(f"{int((column == 1).sum()):,} {name}" + (f" ({unknown:,} not known)" if unknown else ""))
    if cohort.words[1] == "image":
        return f"classes, images: {', '.join(found)}"
    none = int((labels == 0).all(axis=1).sum())
    return f"findings, films: {', '.join(found)}; {none:,} without any"


def _sizes(shapes: Sequence[Sequence[int]]) -> str:
    counts = Counter((width, height) for height, width in shapes)
    named = ", ".join(
        f"{width} x {height}" + (f" ({count:,})" if len(counts) > 1 else "")
        for (width, height), count in counts.most_common(_NAMED_SIZES)
    )
    if len(counts) <= _NAMED_SIZES:
        return named
    sides = [side for shape in shapes for side in shape]
    return f"{named} and {len(counts) - _NAMED_SIZES:,} more; sides of {min(sides)} to {max(sides)}"


def _values(cohort: Cohort) -> str:
    lows, highs = np.array(cohort.ranges).T
    mean, std = cohort.intensity(range(cohort.patients))
    return (
        f"values of {lows.min():,} to {highs.max():,}, of the middle {cohort.words[1]} {np.median(lows):,.0f} to "
        f"{np.median(highs):,.0f}; mean {_by_channel(mean)}, standard deviation {_by_channel(std)}"
    )


def _by_channel(values: PerChannel) -> str:
    return " / ".join(f"{value:,.1f}" for value in (values if isinstance(values, tuple) else (values,)))


def _masks(cohort: Cohort) -> str:
    shares = [float(mask.mean()) for film in range(len(cohort.shapes)) if (mask := cohort.mask(film)) is not None]
    if not shares:
        return "no organ masks"
    return (
        f"organ masks: on {len(shares):,} of {_count(len(cohort.shapes), 'film')}, {min(shares):.1%} to "
        f"{max(shares):.1%} of a film, {float(np.median(shares)):.1%} in the middle"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
