"""The chance that a study of given networks, counts, seeds and patients shows that larger networks need more images.

Simulated, from the calls on (`analysis.design.simulation`), since what a study measures is far from what it is about:
two seeds and sixty patients leave of a correlation of 0.7 between parameters and need little in the smallest counts
that are found. Both tests are the study's own, with families kept together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from analysis.design.simulation import FLOOR, MARGIN, Design, curves, every_count, hms_of, right_calls, tried
from analysis.records.bootstrap import generator
from analysis.stats.counts import rule_bracket
from analysis.stats.dose_response import p_value, summaries
from analysis.stats.ranks.block_orders import block_orders, orders_count, sampled_orders
from analysis.stats.ranks.rank_tests import SIGNIFICANT, centred_ranks, scores
from analysis.stats.shared_counts import shared

STUDIES = 400
MOST_CALLS = 40_000_000  # drawn for one power: a second or two
ORDERS = 1_000


@dataclass(frozen=True)
class Power:
    """Shares of studies with p <= 0.05: by whole curves against ordinary training, by their steepness alone (for want
    of ordinary training), by the smallest counts of the papers' rule, and by these if networks of a family passed for
    unrelated. Of 400 studies, standard errors are at most 0.025."""

    level: float
    steepness: float
    counts: float
    unrelated: float


def unrelated(design: Design, networks: int) -> Design:
    """The same with so many networks, each of a family of its own, of drawn sizes."""
    return replace(design, networks=networks, parameters=None, kin=None, families=None, alike=0.0)


@lru_cache(maxsize=64)
def power(design: Design, studies: int | None = None) -> Power:
    """Power of a design, or its level where `correlation` is 0; the same studies whatever is asked in between.

    Simulated are `studies`, or unless told STUDIES, and fewer of large designs.
    """
    calls = design.networks * (1 + len(every_count(design))) * design.seeds * design.patients
    studies = int(np.clip(MOST_CALLS / calls, 100, STUDIES)) if studies is None else studies
    rng = generator("power", design)
    orders, free = _orders(design.kinds, rng), _orders([str(each) for each in range(design.networks)], rng)
    found = [[p <= SIGNIFICANT for p in each] for each in _tested(design, studies, [orders, free], rng)]
    return Power(*np.mean(found, axis=0).tolist())


def _orders(families: Sequence[str], rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    if orders_count(families) <= ORDERS:
        return block_orders(tuple(families))
    return sampled_orders(families, ORDERS, rng), False


def _tested(
    design: Design, studies: int, orders: list[tuple[np.ndarray, bool]], rng: np.random.Generator
) -> Iterator[list[float]]:
    """The p-values of each study, in the order of `Power`; 1 where a test is undefined. Orders: those that keep
    families together, and all."""
    for _ in range(studies):
        parameters, curve = curves(design, rng)
        measured = measures(design, parameters, hms_of(right_calls(design, curve, rng)).mean(axis=-1))
        yield p_values(parameters, measured, orders)


def p_values(parameters: np.ndarray, measured: list[np.ndarray], orders: list[tuple[np.ndarray, bool]]) -> list[float]:
    """The p-values of a study, of `measures`; orders and order as in `_tested`."""
    sizes, counts = centred_ranks(np.log10(parameters)), measured[2]
    # Scores of smallest counts as they are, as in `rank_tests.spearman`: where brackets overlap they are no ranks.
    tests = [(centred_ranks(each), orders[0]) for each in measured[:2]] + [(counts, each) for each in orders]
    return [p_value(sizes, each, *kept) if len(np.unique(each)) > 1 else 1.0 for each, kept in tests]


def measures(design: Design, parameters: np.ndarray, means: np.ndarray) -> list[np.ndarray]:
    """What is tested of networks (networks,): level and steepness of their curves, and scores of their smallest counts,
    from their mean HM (networks, 1 + counts), of ordinary training first."""
    counts, ran = every_count(design), tried(design, parameters, means)
    offered = [set(np.array(counts)[each].tolist()) for each in ran]
    alike = np.isin(counts, shared(offered))
    own, doses = means[:, 1:][:, alike], shared(offered)
    bounds = _by_points(means[:, 1:], counts, ran if design.searched else ran & alike)
    return [summaries(own, doses, means[:, 0]), summaries(own, doses, None), scores(*bounds)]


def _by_points(means: np.ndarray, counts: tuple[int, ...], ran: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the smallest counts by the papers' rule, as `minimum.rule_points` has them."""
    lower, upper = np.empty(len(means)), np.full(len(means), np.inf)
    for place, (own, there) in enumerate(zip(means.tolist(), ran.tolist(), strict=True)):
        hms = {count: hm for count, hm, tried in zip(counts, own, there, strict=True) if tried}
        lower[place], smallest = rule_bracket(hms, MARGIN, FLOOR)
        upper[place] = np.inf if smallest is None else smallest
    return lower, upper
