"""Null distributions of rank statistics: every order of the points counted, or a seeded sample of orders.

Points with equal values are interchangeable, so the orders of 30 points with four distinct values are counted by how
many of each value are placed, a few thousand states, instead of being listed (30! of them), as
`scipy.stats.permutation_test` does: nine points take it seven seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import factorial, gcd, prod

import numpy as np

SAMPLES = 100_000
SEED = 0
MOST_WORK = 3 * 10**9  # bytes added up while counting: a second or two at most, 200 MB held at once
STEP_WORK = 20_000  # one step of counting takes as long as adding up so many bytes, however few it adds

# A group is points of equal x, a class points of equal y (or that compare alike): an order places classes in groups.
Placed = tuple[int, ...]  # how many points of each class
Gain = Callable[[int, Placed, Placed], int]  # group, placed before it, chosen for it -> what the statistic grows by


@dataclass(frozen=True)
class Null:
    """How often each value of a statistic occurs if the points stand in random order.

    `ways` maps a value (a whole number, on average `centre`) to the number of orders, all of them if `exact`, otherwise
    many random ones; a sampled p-value counts the observed order once more, so it is never zero and stays valid
    (Phipson and Smyth 2010).
    """

    ways: Mapping[int, int]
    exact: bool
    centre: Fraction = Fraction(0)

    def at_least(self, value: int) -> Fraction:
        """One-sided p-value."""
        return self._share(ways for each, ways in self.ways.items() if each >= value)

    def as_far(self, value: int) -> Fraction:
        """Two-sided p-value: orders at least as far from the average."""
        far = abs(value - self.centre)
        return self._share(ways for each, ways in self.ways.items() if abs(each - self.centre) >= far)

    @property
    def smallest_p(self) -> Fraction | None:
        """One-sided p-value of the most favourable order; None where orders were sampled, which cannot tell."""
        return self.at_least(max(self.ways)) if self.exact else None

    @property
    def orders(self) -> int:
        """How many orders were looked at."""
        return sum(self.ways.values())

    def _share(self, ways: Iterator[int]) -> Fraction:
        more = 0 if self.exact else 1
        return Fraction(sum(ways) + more, self.orders + more)


def product_null(x: Sequence[int], y: Sequence[int], most_work: float | None = None) -> Null:
    """Null distribution of sum(x_i y_i) over the orders of `y`; each side sums to zero.

    Counted where that takes no more than `most_work` (MOST_WORK unless given), otherwise sampled.
    """
    x_values, x_times = np.unique(x, return_counts=True)
    y_values, y_times = np.unique(y, return_counts=True)
    # Reduced to the smallest whole numbers from zero up, few sums are possible and none is negative.
    (x_low, x_unit, weights), (y_low, y_unit, scores) = _reduced(x_values), _reduced(y_values)
    sizes, counts = x_times.tolist(), tuple(y_times.tolist())

    def gain(group: int, placed: Placed, chosen: Placed) -> int:
        return weights[group] * sum(score * each for score, each in zip(scores, chosen, strict=True))

    top = int(np.sort(_spread(weights, sizes)) @ np.sort(_spread(scores, counts)))
    if _work(sizes, counts, top) > (MOST_WORK if most_work is None else most_work):
        columns = np.array(y)
        return _sampled(len(x), lambda orders: columns[orders] @ np.array(x))
    # As both sides sum to zero, sum(x y) is x_unit y_unit sum(weights scores) - n x_low y_low.
    offset = len(x) * x_low * y_low
    counted = _counted(sizes, counts, gain, top)
    return Null({x_unit * y_unit * total - offset: ways for total, ways in counted.items()}, True)


def sign_null(x: Sequence[float], signs: np.ndarray) -> Null:
    """Null distribution of the sum of signs[i, j] over the pairs with x_i > x_j, over the orders of the points.

    `signs` (n, n) is antisymmetric, of -1, 0 and +1: how point i compares to point j.
    """
    sizes = np.unique(x, return_counts=True)[1].tolist()
    # Points that compare alike to all others compare as equal to one another, so they are interchangeable.
    kinds, members = np.unique(signs, axis=0, return_counts=True)
    first = [int(np.flatnonzero((signs == kind).all(axis=1))[0]) for kind in kinds]
    between, counts = signs[np.ix_(first, first)].tolist(), tuple(members.tolist())

    def gain(group: int, placed: Placed, chosen: Placed) -> int:
        # One more for each pair, so that nothing is negative.
        return sum(
            one * sum((sign + 1) * other for sign, other in zip(row, placed, strict=True))
            for one, row in zip(chosen, between, strict=True)
            if one
        )

    pairs = sum(a * b for place, a in enumerate(sizes) for b in sizes[:place])
    if _work(sizes, counts, 2 * pairs) > MOST_WORK:
        above = (np.array(x)[:, None] > np.array(x)[None, :]).astype(np.int64)
        return _sampled(len(x), lambda orders: (signs[orders[:, :, None], orders[:, None, :]] * above).sum((1, 2)))
    counted = _counted(sizes, counts, gain, 2 * pairs)
    return Null({total - pairs: ways for total, ways in counted.items()}, True)


def _reduced(values: np.ndarray) -> tuple[int, int, list[int]]:
    """The lowest value, the largest common unit of the distances from it, and those distances in that unit."""
    low = int(values.min())
    unit = reduce(gcd, (int(value) - low for value in values)) or 1
    return low, unit, [(int(value) - low) // unit for value in values]


def _spread(values: Sequence[int], counts: Sequence[int]) -> np.ndarray:
    return np.repeat(np.array(values), counts)


def _slot_bytes(counts: Placed) -> int:
    return _orders(counts).bit_length() // 8 + 1


def _orders(counts: Placed) -> int:
    """Distinguishable orders of so many points of each class."""
    return factorial(sum(counts)) // prod(map(factorial, counts))


def _work(sizes: Sequence[int], counts: Placed, top: int) -> float:
    """An upper bound on what `_counted` does: states before each group, choices for it, and bytes of a state."""
    ways = reduce(np.convolve, [np.ones(count + 1) for count in counts])  # to take so many points out of all classes
    before = np.cumsum([0, *sizes[:-1]])
    steps = float(ways[before] @ np.minimum(ways[sizes], ways[before + sizes]))
    return steps * (STEP_WORK + (top + 1) * _slot_bytes(counts))


def _counted(sizes: Sequence[int], counts: Placed, gain: Gain, top: int) -> dict[int, int]:
    """How many orders give each total gain, at most `top`, placing `counts` points in groups of `sizes` one by one.

    All totals of a state are one long integer with a slot of bits each, wide enough that no slot can overflow: adding
    a gain to every total is a shift, and merging two states is an addition.
    """
    width = _slot_bytes(counts)
    layer: dict[Placed, int] = {(0,) * len(counts): 1}
    for group, size in enumerate(sizes):
        extended: defaultdict[Placed, int] = defaultdict(int)
        for placed, ways in layer.items():
            for chosen in _choices(size, [count - there for count, there in zip(counts, placed, strict=True)]):
                target = tuple(map(sum, zip(placed, chosen, strict=True)))
                # Within a group the order changes no gain but is still an order of its own.
                extended[target] += (ways * _orders(chosen)) << (8 * width * gain(group, placed, chosen))
        layer = extended
    packed = layer[counts].to_bytes((top + 1) * width, "little")
    slots = (int.from_bytes(packed[start : start + width], "little") for start in range(0, len(packed), width))
    return {total: ways for total, ways in enumerate(slots) if ways}


def _choices(size: int, room: Sequence[int]) -> Iterator[Placed]:
    """Every way to take `size` points out of classes that have `room` left."""
    if not room:
        if size == 0:
            yield ()
        return
    for taken in range(min(size, room[0]) + 1):
        for rest in _choices(size - taken, room[1:]):
            yield (taken, *rest)


def at_once(points: int) -> int:
    """How many orders of so many points are looked at together: a statistic of their pairs then fits in 32 MB."""
    return max(1, 4_000_000 // points**2)


def tallied(batches: Iterable[np.ndarray], statistic: Callable[[np.ndarray], np.ndarray]) -> dict[int, int]:
    """How many of the orders, given as rows of indices in `batches`, have each value of `statistic`."""
    ways: Counter[int] = Counter()
    for orders in batches:
        values, times = np.unique(statistic(orders), return_counts=True)
        ways.update(dict(zip(values.tolist(), times.tolist(), strict=True)))
    return ways


def _sampled(points: int, statistic: Callable[[np.ndarray], np.ndarray]) -> Null:
    """`statistic` of random orders."""
    rng, batch = np.random.default_rng(SEED), at_once(points)
    sizes = (min(batch, SAMPLES - start) for start in range(0, SAMPLES, batch))
    batches = (rng.permuted(np.tile(np.arange(points), (size, 1)), axis=1) for size in sizes)
    return Null(tallied(batches, statistic), False)
