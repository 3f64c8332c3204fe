"""Confirm trials of folds, put together by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.trial import Trial
from study.config.tasks.patients import runs
from study.grid.axes import Cell
from study.grid.spec import TrialSpec


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
