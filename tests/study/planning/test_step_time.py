"""Which image counts of a network are timed, what is said of those between, when a clock starts and stops, and what
scoring adds to a trial."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sldd.training.outer_settings import OuterSettings
from study.config.loader import load
from study.grid.axes import Cell
from study.planning import step_time
from study.planning.step_time import StepClock, StepTime, fresh_seconds, trial_seconds

OUTER, DATA = OuterSettings(), cast(Any, None)


def _cell(images: int | None, label_init: str = "one_hot") -> Cell:
    return Cell("net", "train" if images is None else "sldd", "as_is", images, label_init)


class _Timed:
    """A clock of these cells, with an inner step of a tenth of a second and as much for each image."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cells: Iterable[Cell], refused: Iterable[int] = ()) -> None:
        self.asked: list[int | None] = []
        self._refused, self._clock = set(refused), StepClock(cells, load("demo", []))
        monkeypatch.setattr(step_time, "time_step", self._time_step)

    def _time_step(self, cell: Cell, *_: object) -> StepTime | str:
        self.asked.append(cell.images)
        if cell.images in self._refused:
            return f"not {cell.images}"
        return StepTime(batch=0.0, plain=1.0, inner=0.1 + 0.1 * (cell.images or 0), forward=0.0)

    def inner(self, images: int | None, label_init: str = "one_hot") -> float | str:
        found = self._clock.time(_cell(images, label_init), OUTER, DATA)
        return found if isinstance(found, str) else round(found.inner, 9)


def test_the_fewest_and_the_most_images_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = _Timed(monkeypatch, [_cell(images, start) for images in (60, 5, 2, 30) for start in ("one_hot", "soft")])
    assert [timed.inner(images, "soft") for images in (2, 5, 30, 60)] == [0.3, 0.6, 3.1, 6.1]
    assert timed.asked == [2, 60]


def test_a_single_count_and_training_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = _Timed(monkeypatch, [_cell(3), _cell(3, "soft"), _cell(None)])
    assert [timed.inner(3), timed.inner(3, "soft"), timed.inner(None)] == [0.4, 0.4, 0.1]
    assert timed.asked == [3, None]


@pytest.mark.parametrize(
    ("refused", "asked", "found"),
    [
        ({1}, [1, 9, 2], ["not 1", 0.3, 0.6, 1.0]),
        ({9}, [1, 9, 5], [0.2, 0.3, 0.6, "not 9"]),
        ({1, 2, 5, 9}, [1, 9], ["not 1", "not 9", "not 9", "not 9"]),
    ],
    ids=["batch norm", "too many", "a network that cannot be distilled"],
)
def test_one_count_that_is_refused_says_nothing_of_the_others(
    monkeypatch: pytest.MonkeyPatch, refused: set[int], asked: list[int], found: list[Any]
) -> None:
    timed = _Timed(monkeypatch, map(_cell, (1, 2, 5, 9)), refused)
    assert [timed.inner(images) for images in (1, 2, 5, 9)] == found
    assert timed.asked == asked


def test_a_clock_waits_for_the_gpu_before_it_starts_and_before_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.synchronize", lambda: events.append("wait"))
    monkeypatch.setattr(step_time.time, "perf_counter", lambda: events.append("clock") or 0.0)
    step_time._timed(lambda number: events.append(f"work {number}"))
    assert events == ["work 0", "wait", "clock", "work 1", "wait", "clock"]


def test_patients_are_scored_at_every_evaluation_and_once_at_the_end() -> None:
    """By a step whose only cost is a second for each image that is scored."""
    outer = OuterSettings(steps=5, evaluations=4, batch_size=12, statistics_batches=2)
    data: Any = SimpleNamespace(scored=lambda _: 30, split=SimpleNamespace(validation=range(3), test=range(6)))
    step = StepTime(batch=0.0, plain=0.0, inner=0.0, forward=1.0)
    config = load("demo", ["evaluate.starts=2"])
    assert trial_seconds(_cell(None), step, config, outer, data) == (30 + 2 * 12) * 5
    # A fresh start is scored on validation patients, for its threshold, and on twice as many who test it.
    assert fresh_seconds(_cell(3), [step, "not here"], config, outer, data) == 2 * (30 + 60)
