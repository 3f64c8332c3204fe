"""Membership attack on batch-norm statistics."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.privacy_attacks import batch_norm
from sldd.privacy_attacks.batch_norm import control, scores, trace
from sldd.privacy_attacks.group_test import MemberLabels, area

TRAINING, HELD_OUT, CHANNELS = 12, 20, 300


def _patients(seed: int) -> tuple[np.ndarray, MemberLabels]:
    """Moments in which channels go together, as they do, labels differ, and some channels are dead."""
    random = np.random.default_rng(seed)
    labels = np.arange(TRAINING + HELD_OUT) % 2
    few, many = random.standard_normal((len(labels), 3)), random.standard_normal((len(labels), CHANNELS))
    moments = 5 * few @ random.standard_normal((3, CHANNELS)) + many + 4 * labels[:, None]
    moments[:, :5] = 0.25
    return moments, MemberLabels(np.arange(len(labels)) < TRAINING, labels)


def test_those_in_the_mean_are_found() -> None:
    moments, groups = _patients(0)
    found = trace(moments, moments[groups.member].mean(0), groups, 0)
    assert found.auc > 0.85
    assert found.p < 0.01


def test_channels_that_nothing_arrives_at_say_nothing() -> None:
    moments, groups = _patients(0)
    pooled = moments[groups.member].mean(0)
    without = scores(moments, pooled, groups, 0)
    beside = np.insert(moments, 10, np.zeros((4, 1)), axis=1)
    untouched = np.insert(pooled, 10, [0.0, 0.0, 1.0, 1.0])  # mean and mean square as layers are built
    assert scores(beside, untouched, groups, 0) == pytest.approx(without)


def test_those_who_trained_elsewhere_are_not() -> None:
    aucs = []
    for seed in range(12):
        moments, groups = _patients(seed)
        elsewhere = np.random.default_rng(seed).permutation(np.flatnonzero(groups.member))
        labels = groups.labels[elsewhere]
        pool = np.concatenate([elsewhere[labels == label][:3] for label in (0, 1)])
        kept = np.setdiff1d(np.arange(len(moments)), pool)
        part = MemberLabels(groups.member[kept], groups.labels[kept])
        aucs.append(area(scores(moments[kept], moments[pool].mean(0), part, 0), part.member))
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.1)


def test_the_smaller_the_pool_the_surer_the_attack() -> None:
    moments, groups = _patients(1)
    pools = control(moments, groups, 0)
    assert [pool.patients for pool in pools] == [2, 4, 8, 12]
    assert pools[0].auc > 0.95
    assert pools[0].auc >= pools[-1].auc > 0.6
    assert pools[0].tpr > pools[-1].tpr


def test_every_yardstick_is_of_as_many_patients_and_never_of_the_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    moments, groups = _patients(0)
    moments[:, 7] = np.arange(len(moments))  # who it is
    found: list[int] = []

    def score(values: np.ndarray, pooled: np.ndarray, others: dict[int, np.ndarray], label: int) -> float:
        assert values[7] not in others[label][:, 7]
        assert {number: len(rows) for number, rows in others.items()} == {label: HELD_OUT // 2 - 1, 1 - label: 10}
        found.append(label)
        return 0.0

    monkeypatch.setattr(batch_norm, "_score", score)
    scores(moments, moments.mean(0), groups, 0)
    assert found == groups.labels.tolist()
