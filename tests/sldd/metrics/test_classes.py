"""Metrics of images of one class each, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, roc_auc_score

from analysis.records.class_runs import ClassRun, pooled_class_run, resampled_balanced_accuracies
from sldd.metrics.classes import ClassScores

RANDOM = np.random.default_rng(3)
TRUTH = RANDOM.choice(4, 60, p=[0.5, 0.3, 0.15, 0.05])
PROBABILITIES = RANDOM.dirichlet(np.ones(4), 60) * 0.7 + 0.3 * np.eye(4)[TRUTH]
SUBJECTS = [number // 3 for number in range(60)]
NAMES = [f"P-{number:02d}" for number in range(20)]
SCORES = ClassScores(["a", "b", "c", "d"], SUBJECTS, TRUTH, PROBABILITIES)


def test_scores_are_scikit_learns() -> None:
    described = SCORES.describe(NAMES, None)
    told = PROBABILITIES.argmax(1)
    assert described["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(TRUTH, told))
    assert described["accuracy"] == pytest.approx(accuracy_score(TRUTH, told))
    assert described["auc"] == pytest.approx(roc_auc_score(TRUTH, PROBABILITIES, multi_class="ovr"))
    assert described["confusion"] == confusion_matrix(TRUTH, told).tolist()
    for number, row in enumerate(described["classes"]):
        assert row["sensitivity"] == pytest.approx((told[number == TRUTH] == number).mean())
        assert row["specificity"] == pytest.approx((told[number != TRUTH] != number).mean())
    assert SCORES.headline == described["balanced_accuracy"]


def test_a_class_that_nothing_is_of_enters_no_mean() -> None:
    some = TRUTH != 3
    subjects = [subject for subject, kept in zip(SUBJECTS, some, strict=True) if kept]
    described = ClassScores(SCORES.classes, subjects, TRUTH[some], PROBABILITIES[some]).describe(NAMES, None)
    rows = described["classes"]
    assert rows[3]["sensitivity"] is rows[3]["auc"] is None
    assert described["balanced_accuracy"] == pytest.approx(np.mean([row["sensitivity"] for row in rows[:3]]))
    assert described["defined_classes"] == 3


def test_intervals_hold_the_scores() -> None:
    described = SCORES.describe(NAMES, None, intervals_of=1)
    for name in ("balanced_accuracy", "auc", "accuracy"):
        assert described[f"{name}_low"] < described[name] < described[f"{name}_high"]


def test_images_of_a_subject_are_drawn_together() -> None:
    """Ten subjects with six images each, half of which the network is wrong about altogether."""
    truth = np.tile([0, 1], 30)
    right = np.repeat(np.arange(10) % 2 == 0, 6)
    told = np.eye(2)[np.where(right, truth, 1 - truth)]
    width = []
    for subjects in (list(range(60)), np.repeat(range(10), 6).tolist()):
        described = ClassScores(["a", "b"], subjects, truth, told).describe([""] * 60, None, intervals_of=1)
        width.append(described["balanced_accuracy_high"] - described["balanced_accuracy_low"])
    assert width[1] > 2 * width[0]


def test_a_run_reads_what_a_trial_wrote() -> None:
    run = pooled_class_run([{"test": SCORES.describe(NAMES, None)}])
    assert run is not None
    assert run.balanced_accuracy == pytest.approx(SCORES.headline)
    assert run.auc == pytest.approx(roc_auc_score(TRUTH, PROBABILITIES, multi_class="ovr"))
    assert pooled_class_run([{"test": {"films": [{"patient": "P", "class": 7, "probabilities": [1.0]}]}}]) is None
    assert pooled_class_run([{"test": None}]) is None


def test_runs_are_resampled_by_subject_and_beside_each_other() -> None:
    run = pooled_class_run([{"test": SCORES.describe(NAMES, None)}])
    assert run is not None
    better = ClassRun(run.patients, run.labels, run.labels)
    found = resampled_balanced_accuracies([run], [better], 200, np.random.default_rng(0))
    assert found is not None
    scores, drawn, patients = found
    assert 0 < patients <= len(set(run.patients))
    assert scores == pytest.approx([1.0, SCORES.headline])
    assert (drawn[0] == 1).all()
    assert drawn[1].min() < SCORES.headline < drawn[1].max()
    other = ClassRun(run.patients[1:], run.labels[1:], run.probabilities[1:])
    assert resampled_balanced_accuracies([run, other], [], 200, np.random.default_rng(0)) is None


def test_states_are_compared_by_the_mean_of_auc_and_balanced_accuracy() -> None:
    balanced, auc = SCORES.history()["val_balanced_accuracy"], SCORES.history()["val_auc"]
    assert balanced is not None
    assert auc is not None
    assert abs(balanced - auc) > 0.01
    assert SCORES.key == pytest.approx(((balanced + auc) / 2, balanced, auc))


def test_intervals_of_a_class_are_of_the_same_draws_as_those_of_the_mean() -> None:
    """Of two classes, of which one is always told: balanced accuracy is half the other's sensitivity, and a half."""
    truth = np.arange(60) % 2
    told = np.where(np.arange(60) % 5, truth, 1)
    described = ClassScores(["a", "b"], list(range(60)), truth, np.eye(2)[told]).describe([""] * 60, None, 1)
    a, b = described["classes"]
    assert (b["sensitivity_low"], b["sensitivity_high"]) == (1.0, 1.0)
    for end in ("low", "high"):
        assert described[f"balanced_accuracy_{end}"] == pytest.approx((1 + a[f"sensitivity_{end}"]) / 2)
    assert a["sensitivity_low"] < a["sensitivity"] < a["sensitivity_high"]
