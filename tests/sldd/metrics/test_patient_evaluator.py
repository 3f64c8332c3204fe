"""Scores of patients: what states are compared by, at one threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sldd.metrics import patient_evaluator
from sldd.metrics.patient_evaluator import PatientScores
from sldd.metrics.patient_votes import Votes, choose_threshold

VOTES = Votes([0, 1, 2, 3], np.array([0, 1, 0, 1]), np.array([[0, 8, 2], [0, 3, 7], [0, 6, 4], [0, 7, 3]]), np.eye(3))


@pytest.mark.parametrize("delta", [None, 0.5])
def test_a_threshold_is_chosen_once(delta: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[float | None] = []

    def choose(votes: Votes, delta: float | None = None) -> tuple[float, float]:
        chosen.append(delta)
        return choose_threshold(votes, delta)

    monkeypatch.setattr(patient_evaluator, "choose_threshold", choose)
    scores, (hm, at) = PatientScores(VOTES, delta), choose_threshold(VOTES, delta)
    assert (scores.headline, scores.threshold, scores.history()["val_hm"]) == (hm, at, hm)
    assert scores.key[0 if delta else 1] == hm
    assert chosen == [delta]


def test_states_are_compared_by_auc_and_patch_accuracy_or_at_a_given_threshold_by_hm() -> None:
    votes = replace(VOTES, confusion=np.array([[4, 0, 0], [1, 1, 0], [0, 0, 2]]))
    accuracy = (1 + 1 / 2 + 1) / 3  # of each true class by itself
    assert (votes.auc, votes.patch_accuracy) == pytest.approx((0.75, accuracy))
    best, given = PatientScores(votes, None), PatientScores(votes, 0.5)
    assert best.key == pytest.approx(((0.75 + accuracy) / 2, best.headline, 0.75))
    assert given.key == pytest.approx((given.headline, 0.75, accuracy))
    unmasked = PatientScores(replace(votes, confusion=np.zeros((3, 3))), None)
    assert unmasked.key == (0.75, best.headline, 0.75)
