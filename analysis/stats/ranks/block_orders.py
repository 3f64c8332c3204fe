"""Null distributions that know families: networks trade places within their family, families of one size as wholes.

Networks of a family may need as many images because they are alike, not because of their size. If there is no relation,
what they need is exchangeable within a family, and between families of as many networks, no more. The orders that keep
this are those of multi-level block permutation (Winkler et al. 2015, NeuroImage 123), and p-values from them are exact
however alike families are. Where no network has kin, or all are of one family, they are all orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import permutations, product
from math import factorial, prod

import numpy as np

from analysis.stats.ranks.permutation import SEED, Null, at_once, tallied

MOST_LISTED, SAMPLES = 20_000, 20_000


def all_orders(families: Sequence[str]) -> bool:
    """Whether families keep no order out: every network its own, or all of one."""
    return len(set(families)) in (0, 1, len(families))


def orders_count(families: Sequence[str]) -> int:
    """How many orders keep families together."""
    return prod(factorial(len(blocks)) * factorial(blocks.shape[1]) ** len(blocks) for blocks in _classes(families))


def sampled_orders(families: Sequence[str], samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples, networks): random ones of these orders, as places that networks take."""
    orders = np.empty((samples, len(families)), np.int64)
    for blocks in _classes(families):
        places = np.tile(np.arange(len(blocks)), (samples, 1))
        taken = rng.permuted(blocks[rng.permuted(places, axis=1)], axis=2)
        orders[:, blocks.ravel()] = taken.reshape(samples, -1)
    return orders


def block_null(families: Sequence[str], statistic: Callable[[np.ndarray], np.ndarray]) -> Null:
    """Null distribution of `statistic` (orders (n, networks) -> whole numbers (n,)); a seeded sample of many orders."""
    orders, exact = block_orders(tuple(families))
    batch = at_once(len(families))
    ways = tallied((orders[start : start + batch] for start in range(0, len(orders), batch)), statistic)
    # Families stay together, so that the average order need not be at zero.
    centre = Fraction(sum(value * each for value, each in ways.items()), len(orders))
    return Null(ways, exact, centre)


@lru_cache(maxsize=8)
def block_orders(families: tuple[str, ...]) -> tuple[np.ndarray, bool]:
    """All these orders, or SAMPLES of them, and whether they are all; not to be written to."""
    if orders_count(families) > MOST_LISTED:
        return sampled_orders(families, SAMPLES, np.random.default_rng(SEED)), False
    classes = _classes(families)
    places = np.concatenate([blocks.ravel() for blocks in classes])
    orders = np.empty((orders_count(families), len(families)), np.int64)
    orders[:, places] = [np.concatenate(each) for each in product(*map(_every, classes))]
    return orders, True


def _classes(families: Sequence[str]) -> list[np.ndarray]:
    """Families of equal size together: (families, size) places of their networks, by size."""
    members = [np.flatnonzero(np.array(families) == family) for family in dict.fromkeys(families)]
    sizes = sorted({len(each) for each in members})
    return [np.stack([each for each in members if len(each) == size]) for size in sizes]


def _every(blocks: np.ndarray) -> Iterator[np.ndarray]:
    """Every way that the families of a class, and the networks of each, can stand."""
    within = list(permutations(range(blocks.shape[1])))
    for outer in permutations(range(len(blocks))):
        for inner in product(within, repeat=len(blocks)):
            yield np.take_along_axis(blocks[list(outer)], np.array(inner), 1).ravel()
