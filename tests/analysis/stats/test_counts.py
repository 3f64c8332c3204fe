from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.stats.counts import next_count, smallest_sufficient, suffices

RULE = {"margin": 0.10, "floor": 0.5}
HMS = st.floats(0, 1, allow_nan=False)
GRIDS = st.dictionaries(st.integers(1, 200), HMS | st.none(), max_size=20)


def searched(grid: Mapping[int, float | None], candidates: Sequence[int] | None = None) -> dict[int, float | None]:
    """What a search through `grid` (None: the count does not run) has confirmed when it ends, in its order."""
    run: dict[int, float | None] = {}
    while (count := next_count(run, candidates or list(grid), **RULE)) is not None:
        assert count not in run, "never the same count twice"
        run[count] = grid[count]
        assert len(run) <= len(grid)
    return run


def known(hms: Mapping[int, float | None]) -> dict[int, float]:
    return {count: hm for count, hm in hms.items() if hm is not None}


def steps(count: int) -> Callable[[int], float]:
    """HM of a network that needs `count` images."""
    return lambda images: 0.9 if images >= count else 0.6


def test_the_largest_first_then_a_gallop_then_halving():
    grid = {images: steps(13)(images) for images in range(1, 33)}
    assert list(searched(grid)) == [32, 1, 2, 4, 8, 16, 12, 14, 13]


def test_the_smallest_sufficing_costs_two_runs():
    assert list(searched(dict.fromkeys(range(1, 33), 0.9))) == [32, 1]


def test_places_gallop_not_numbers():
    assert list(searched({images: steps(50)(images) for images in (1, 2, 5, 10, 20, 50, 100)})) == [
        100,
        1,
        2,
        10,
        20,
        50,
    ]


def test_candidates_may_come_in_any_order():
    assert next_count({}, [2, 9, 4], **RULE) == 9
    assert next_count({9: 0.9}, [2, 9, 4], **RULE) == 2


def test_a_reference_that_does_not_run_is_replaced_by_the_next():
    assert list(searched({1: 0.9, 2: 0.9, 3: 0.9, 4: None, 5: None})) == [5, 4, 3, 1]


def test_a_reference_under_the_floor_ends_the_search():
    assert list(searched({1: 0.9, 2: 0.4, 3: 0.49})) == [3]


def test_no_candidate_no_count():
    assert next_count({}, [], **RULE) is None
    assert next_count({2: None}, [2], **RULE) is None


def test_what_is_known_is_used():
    assert next_count({8: 0.9, 4: 0.6}, range(1, 9), **RULE) == 6
    assert next_count({8: 0.9, 4: 0.9, 3: 0.6}, range(1, 9), **RULE) is None


def test_a_difference_of_exactly_the_margin_suffices():
    assert suffices(0.8, 0.9, 0.1)
    assert not suffices(0.799, 0.9, 0.1)
    assert smallest_sufficient({1: 0.8, 2: 0.9}, **RULE) == 1
    assert smallest_sufficient({1: 0.4, 2: 0.49}, **RULE) is None
    assert smallest_sufficient({}, **RULE) is None


def test_ordinary_training_is_the_reference_where_there_is_any():
    grid = {images: 0.6 + 0.02 * images for images in range(1, 11)}
    run: dict[int, float | None] = {}
    while (count := next_count(run, list(grid), **RULE, trained=0.88)) is not None:
        run[count] = grid[count]
    assert list(run) == [10, 1, 2, 4, 8, 9]
    assert next_count({10: 0.8, 1: 0.62}, list(grid), **RULE, trained=0.88) == 2
    assert next_count({10: 0.8}, list(grid), **RULE, trained=0.95) is None, "the largest falls short"
    assert next_count({10: 0.8}, list(grid), **RULE) == 1, "by the papers' rule it is the best"


@given(GRIDS)
def test_where_hm_does_not_fall_the_search_finds_what_the_grid_does(grid):
    rising = iter(sorted(known(grid).values()))
    grid = {count: None if grid[count] is None else next(rising) for count in sorted(grid)}
    run = searched(grid)
    assert smallest_sufficient(known(run), **RULE) == smallest_sufficient(known(grid), **RULE)


@given(GRIDS)
def test_whatever_the_hms_the_count_under_the_answer_was_tried(grid):
    found = smallest_sufficient(known(searched(grid)), **RULE)
    if found is not None:
        below = max((count for count in known(grid) if count < found), default=None)
        assert below is None or below in searched(grid)


@given(st.integers(1, 300), st.data())
def test_a_search_is_logarithmic(candidates, data):
    needed = data.draw(st.integers(1, candidates))
    run = searched({images: steps(needed)(images) for images in range(1, candidates + 1)})
    assert len(run) <= 2 * math.log2(candidates) + 2
    assert smallest_sufficient(known(run), **RULE) == needed


@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_the_floor_is_the_callers(floor):
    assert (next_count({3: 0.3}, [1, 2, 3], margin=0.1, floor=floor) is None) == (floor == 0.5)
