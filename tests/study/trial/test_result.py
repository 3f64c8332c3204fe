"""What a trial's result says of which patients, and confirm trials of folds, put together by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.trial import Trial
from sldd.data.split import Split
from study.config.tasks.patients import runs
from study.grid.axes import Cell
from study.grid.spec import Phase, TrialSpec
from study.trial.result import describe_result, score_fresh


def _trial(seed: int, fold: int, called: dict[int, list[bool]]) -> Trial:
    """A confirm trial that calls patients of each label positive or not."""
    patients: list[dict[str, Any]] = [
        {"patient": f"P-{fold}-{label}-{number}", "label": label, "votes": [5, 0, 9] if positive else [5, 9, 0]}
        for label, calls in called.items()
        for number, positive in enumerate(calls)
    ]
    spec = TrialSpec(Cell("net", "sldd", "as_is", fold=fold), "confirm", seed, outer_lr=0.1)
    return Trial(Path(), spec.to_json(), {"status": "done", "delta": 0.4, "test": {"patients": patients}})


def test_folds_are_pooled_by_patients_not_by_means() -> None:
    # 3 of 4 and 0 of 1 positives called so; 2 of 4 and 6 of 6 negatives not.
    first = _trial(1, 0, {1: [True, True, True, False], 0: [True, True, False, False]})
    second = _trial(1, 1, {1: [False], 0: [False] * 6})
    (run,) = runs([first, second], folds=2)
    assert run.sensitivity == pytest.approx(3 / 5)
    assert run.specificity == pytest.approx(8 / 10)
    assert run.hm == pytest.approx(2 * 0.6 * 0.8 / 1.4)


def test_a_seed_that_lacks_a_fold_is_left_out() -> None:
    right = {1: [True], 0: [False]}
    trials = [_trial(1, 0, right), _trial(1, 1, right), _trial(2, 0, {1: [False], 0: [True]})]
    assert [run.hm for run in runs(trials, folds=2)] == [1.0]


SPLIT = Split([0, 1], [2, 3], [4, 5])


@dataclass(frozen=True)
class _Scores:
    """Scores of patients, whose best threshold is told by who they are."""

    patients: list[int]

    @property
    def threshold(self) -> float:
        return min(self.patients) / 10

    def describe(self, pseudonyms: list[str], delta: float, intervals_of: int | None = None) -> dict[str, Any]:
        return {"patients": [pseudonyms[patient] for patient in self.patients], "at": delta, "drawn": intervals_of}


class _Loop:
    """An outer loop that is over, and who was scored."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []
        self.progress, self.best = SimpleNamespace(step=9, history=[]), SimpleNamespace(step=6)

    def score(self, patients: list[int]) -> _Scores:
        self.read.append(patients)
        return _Scores(patients)

    def score_network(self, network: object, patients: list[int]) -> _Scores:
        return self.score(patients)


def _described(loop: Any, phase: Phase, split: Split = SPLIT, error: str | None = None) -> dict[str, Any]:
    spec = TrialSpec(Cell("net", "sldd", "as_is"), phase, 7, outer_lr=0.1)
    return describe_result(spec, loop, split, error, list("abcdef"))


def test_test_patients_are_called_at_the_threshold_of_validation_patients() -> None:
    found = _described(_Loop(), "confirm")
    assert found["delta"] == 0.2
    assert found["validation"] == {"patients": ["c", "d"], "at": 0.2, "drawn": None}
    assert found["test"] == {"patients": ["e", "f"], "at": 0.2, "drawn": 7}
    loop: Any = _Loop()
    assert score_fresh(loop, loop, SPLIT, list("abcdef")) == {"patients": ["e", "f"], "at": 0.2, "drawn": None}


@pytest.mark.parametrize(("phase", "error"), [("search", None), ("search", "nan"), ("confirm", "nan")])
def test_test_patients_are_met_by_confirm_trials_that_are_done_and_no_others(phase: Phase, error: str | None) -> None:
    loop = _Loop()
    found = _described(loop, phase, error=error)
    assert (found["status"], found["test"]) == ("diverged" if error else "done", None)
    assert loop.read == [SPLIT.validation]


def test_where_states_are_chosen_on_test_patients_these_are_scored_once() -> None:
    loop = _Loop()
    found = _described(loop, "confirm", Split([0, 1], [4, 5], [4, 5]))
    assert found["test"] == found["validation"]
    assert loop.read == [[4, 5]]
