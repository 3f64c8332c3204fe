from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analysis.records.bootstrap import harmonic_mean
from analysis.records.cell_means import cell_means, run_rows, training_means
from analysis.records.patient_runs import align
from analysis.records.records import COLUMNS, Study, read_study
from analysis.records.runs import folds_of, read_run
from tests.analysis.conftest import split, voters


def patient(name: str, label: int, negative: int, positive: int) -> dict:
    return {"patient": name, "label": label, "votes": [5, negative, positive]}


@pytest.fixture
def rotated(ledger):
    """Two folds at thresholds of their own: one calls everybody positive, one is right about both its patients."""
    written = ledger(config={"confirm": {"folds": 2}})
    first, second = written.rotated("net", 1000, 1, 2)
    lax = [patient("P-a", 1, 2, 8), patient("P-b", 0, 5, 5), patient("P-c", 0, 0, 0)]
    strict = [patient("P-d", 1, 4, 6), patient("P-e", 0, 5, 5)]
    written.done(first, 3, hm=0.1, patients=lax, delta=0.3, memory_star_kb=20.0)
    written.done(second, 3, hm=0.2, patients=strict, delta=0.6, memory_star_kb=22.0)
    return written


def test_a_run_is_all_folds_patients_each_at_its_folds_threshold(rotated):
    study = read_study(rotated.folder)
    (row,) = run_rows(study).to_dict("records")
    run = read_run(study, row["trials"])
    assert run.patients == ("P-a", "P-b", "P-c", "P-d", "P-e")
    assert run.scores.tolist() == pytest.approx([0.8, 0.5, np.nan, 0.6, 0.5], nan_ok=True)
    assert run.calls.tolist() == [True, True, False, True, False]
    assert (row["test_sensitivity"], row["test_specificity"]) == (1.0, pytest.approx(2 / 3))
    assert row["test_hm"] == pytest.approx(0.8)
    assert row["test_hm_at_0.4"] == pytest.approx(0.5), "at 0.4 only the undecided patient is called negative"
    assert row["test_auc"] == 1.0
    assert row["undecided_patients"] == 1
    assert row["val_hm"] == pytest.approx(0.15)
    assert row["memory_star_kb"] == 21.0


def test_pooled_means_are_not_means_of_folds(rotated):
    (means,) = cell_means(read_study(rotated.folder)).to_dict("records")
    assert (means["hm"], means["seeds"]) == (pytest.approx(0.8), 1)


def test_a_run_is_missing_while_a_fold_is(rotated):
    study = rotated.folder / "trials"
    (result,) = study.glob("*-f1/3/result.json")
    result.write_text(result.read_text().replace('"status": "done"', '"status": "failed"'))
    read = read_study(rotated.folder)
    assert run_rows(read).empty
    assert cell_means(read).empty
    assert list(run_rows(read).columns) == [*COLUMNS, "trials"]


def test_trials_outside_any_fold_are_no_part_of_a_run(rotated):
    rotated.done(rotated.cell("net", 1000, 1), 3)
    (row,) = run_rows(read_study(rotated.folder)).to_dict("records")
    assert row["test_hm"] == pytest.approx(0.8)


def test_ordinary_training_is_pooled_too(ledger):
    written = ledger(config={"confirm": {"folds": 2}})
    training = {"method": "train", "label_init": None, "distill_steps": None, "distill_epochs": None}
    for fold, cell in enumerate(written.rotated("net", 1000, None, 2, **training)):
        written.done(cell, 0, hm=0.0, patients=voters(0.5 + 0.5 * fold, 10, first=100 * fold))
    (means,) = training_means(read_study(written.folder)).to_dict("records")
    assert means["hm"] == pytest.approx(0.75)


def test_without_folds_a_trial_is_a_run_and_no_result_is_read(demo, monkeypatch):
    study = read_study(demo)
    monkeypatch.setattr(Study, "result", lambda *_: pytest.fail("a result file was read"))
    rows = run_rows(study)
    assert rows["trials"].map(lambda trials: trials[0]).tolist() == rows["trial"].tolist()
    assert len(cell_means(study)) == 9


def test_a_run_without_folds_scores_what_its_trial_did(demo):
    study = read_study(demo)
    for _, row in run_rows(study).iterrows():
        run = read_run(study, row["trials"])
        found = (run.sensitivity, run.specificity, run.hm, run.at(0.4).hm, run.auc)
        names = ("sensitivity", "specificity", "hm", "hm_at_0.4", "auc")
        assert found == pytest.approx([row[f"test_{name}"] for name in names])


def test_auc_ranks_the_undecided_lowest_and_counts_ties_half(ledger):
    rng = np.random.default_rng(3)
    patients = split(rng, 40, 0.5)["patients"]
    for each in patients[::5]:
        each["votes"] = [100, 0, 0]
    written = ledger()
    written.done(written.cell("net", 1, 1), 0, patients=patients)
    study = read_study(written.folder)
    run = read_run(study, run_rows(study)["trials"].iloc[0])
    assert run.auc == pytest.approx(roc_auc_score(run.labels, np.nan_to_num(run.scores, nan=-1)))


def test_runs_are_aligned_by_patient(ledger):
    written = ledger()
    cell = written.cell("net", 1, 1)
    written.done(cell, 0, patients=[patient("P-b", 0, 1, 9), patient("P-a", 1, 9, 1), patient("P-x", 1, 1, 1)])
    written.done(cell, 1, patients=[patient("P-a", 1, 1, 9), patient("P-b", 0, 1, 9)])
    study = read_study(written.folder)
    labels, calls = align([read_run(study, trials) for trials in run_rows(study)["trials"]])
    assert labels.tolist() == [True, False]
    assert calls.tolist() == [[False, True], [True, True]]


@pytest.mark.parametrize("damage", [{"test": None}, {"delta": None}, {"test": {"hm": 0.5, "patients": [{"votes": 3}]}}])
def test_a_run_whose_votes_cannot_be_read_is_none(ledger, damage):
    written = ledger()
    folder = written.done(written.cell("net", 1, 1), 0)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | damage))
    assert read_run(read_study(written.folder), [f"{folder.parent.name}/0"]) is None


def test_harmonic_mean_is_zero_where_both_are():
    assert harmonic_mean(np.array([0.0, 0.5, 0.0]), np.array([0.0, 1.0, 1.0])).tolist() == pytest.approx([0, 2 / 3, 0])


@pytest.mark.parametrize("config", [{}, {"confirm": None}, {"confirm": {}}, {"confirm": {"folds": None}}])
def test_a_study_may_have_no_folds(ledger, config):
    assert folds_of(read_study(ledger(config=config).folder)) is None
