"""Confirm trials of folds, put together by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from study.ledger import Trial
from study.result import runs


def _trial(seed: int, positives: int, negatives: int, sensitivity: float, specificity: float) -> Trial:
    patients = [{"label": 1}] * positives + [{"label": 0}] * negatives
    test: dict[str, Any] = {"sensitivity": sensitivity, "specificity": specificity, "auc": 0.5, "patients": patients}
    return Trial(Path(), {"seed": seed}, {"delta": 0.4, "test": test})


def test_folds_are_pooled_by_patients_not_by_means() -> None:
    # 3 of 4 and 0 of 1 positives right; 2 of 4 and 6 of 6 negatives right.
    (run,) = runs([_trial(1, 4, 4, 0.75, 0.5), _trial(1, 1, 6, 0.0, 1.0)], folds=2)
    assert run.sensitivity == pytest.approx(3 / 5)
    assert run.specificity == pytest.approx(8 / 10)
    assert run.hm == pytest.approx(2 * 0.6 * 0.8 / 1.4)


def test_a_seed_that_lacks_a_fold_is_left_out() -> None:
    trials = [_trial(1, 1, 1, 1.0, 1.0), _trial(1, 1, 1, 1.0, 1.0), _trial(2, 1, 1, 0.0, 0.0)]
    assert [run.hm for run in runs(trials, folds=2)] == [1.0]
