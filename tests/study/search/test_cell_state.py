"""What a cell's trials say, from records alone: no ledger, no files."""

from __future__ import annotations

from typing import Any

import pytest

from study.search.cell_state import CellState, TrialRecord


def _search(index: int, hm: float | None = None, **more: Any) -> TrialRecord:
    status = "running" if hm is None else "done"
    return TrialRecord(index, f"c/{index}", "search", status, worth=(hm or 0.0, 0.0, 0.0), **more)


def _confirm(index: int, source: int, status: str = "done", **more: Any) -> TrialRecord:
    return TrialRecord(index, f"c/{index}", "confirm", status, source=source, tested=status == "done", **more)


def _state(*records: TrialRecord, **more: Any) -> CellState:
    return CellState(records, trials=2, repeats=2, **more)


def test_the_earlier_of_two_that_are_as_good_is_best() -> None:
    best = _state(_search(0, 0.5), _search(1, 0.7), _search(2, 0.7)).best
    assert best is not None
    assert best.index == 1


@pytest.mark.parametrize(
    ("records", "remaining", "finished"),
    [
        ([], 4, False),
        ([_search(0, 0.5), _search(1)], 3, False),
        ([_search(0, 0.5), _search(1, 0.4)], 2, False),
        ([_search(0, 0.5), _search(1, 0.4), _confirm(2, 0), _confirm(3, 0)], 0, True),
        ([_search(0, 0.5), _search(1, 0.4), _confirm(2, 0), _confirm(3, 0, "failed")], 1, False),
    ],
)
def test_what_is_left(records: list[TrialRecord], remaining: int, finished: bool) -> None:
    state = _state(*records)
    assert (state.remaining, state.finished) == (remaining, finished)


def test_a_cell_that_gave_nothing_is_finished_without_confirming() -> None:
    diverged = [TrialRecord(index, f"c/{index}", "search", "diverged") for index in range(2)]
    assert _state(*diverged).finished
    assert _state(*diverged).remaining == 0
    failed = [TrialRecord(index, f"c/{index}", "search", "failed") for index in range(2)]
    assert not _state(*failed).finished
    assert _state(*failed, given_up={0, 1}).finished


def test_a_cell_without_a_search_confirms_and_is_finished_then() -> None:
    middle = [TrialRecord(index, f"c/{index}", "confirm", "done", tested=True) for index in range(2)]
    state = CellState([], 0, 2)
    assert (state.finished, state.remaining, state.nothing_to_confirm) == (False, 2, False)
    assert CellState(middle, 0, 2).confirmed == middle
    assert CellState(middle, 0, 2).finished


def test_confirm_trials_of_an_overtaken_setting_count_no_more() -> None:
    state = _state(_search(0, 0.5), _search(1, 0.7), _confirm(2, 0), _confirm(3, 1))
    assert [record.index for record in state.confirming] == [3]
    assert not state.finished


def test_a_cell_waits_for_those_it_starts_from_and_is_stranded_without_a_network() -> None:
    assert _state(sources=[None, ["a/2"]]).early
    assert not _state(sources=[None, ["a/2"]]).finished
    assert _state(sources=[["a/2"], []]).stranded
    assert _state(sources=[["a/2"], []]).finished
    assert _state(sources=[["a/2", "a/3"], [None]]).starts_from == ["a/2", None]


def test_trials_keep_their_start_while_it_is_confirmed_and_are_outdated_after() -> None:
    trial = _search(0, 0.5, starts_from=["a/2"])
    kept = _state(trial, sources=[["a/1", "a/2"]])
    assert kept.outdated == []
    assert kept.starts_from == ["a/2"], "the same for all"
    assert _state(trial, sources=[["a/4"]]).outdated == [trial]
    assert _state(trial, sources=[None]).outdated == [], "not before the cell before is done"
