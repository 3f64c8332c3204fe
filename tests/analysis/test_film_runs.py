"""Macro AUC of films with findings, against scikit-learn, and resampled by patient."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analysis.bootstrap import generator
from analysis.confirmed import cell_means
from analysis.film_runs import FilmRun, alike, macro_auc, pooled_film_run, resampled_aucs
from analysis.minimum import SUFFICIENT, count_evidence
from analysis.panels import panels
from analysis.records import read_study
from analysis.story import headline

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random((30, 3)) < 0.4).astype(float)
LABELS[3, 0] = np.nan
LABELS[:, 2] = 0  # nobody has it
SCORES = RANDOM.random((30, 3)).round(1)  # with ties
PATIENTS = tuple(f"P-{number // 3}" for number in range(30))


def test_against_scikit_learn_over_the_classes_that_are_defined() -> None:
    known = ~np.isnan(LABELS[:, 0])
    wanted = [roc_auc_score(LABELS[known, 0], SCORES[known, 0]), roc_auc_score(LABELS[:, 1], SCORES[:, 1])]
    assert FilmRun(PATIENTS, LABELS, SCORES).auc == pytest.approx(np.mean(wanted))
    assert math.isnan(FilmRun(PATIENTS, LABELS[:, 2:], SCORES[:, 2:]).auc)


def test_weights_count_films_as_often() -> None:
    times = RANDOM.integers(0, 3, 30)
    again = np.repeat(np.arange(30), times)
    found = macro_auc(times[None].astype(float), LABELS, SCORES)
    repeated = macro_auc(np.ones((1, len(again))), LABELS[again], SCORES[again])
    assert found[0] == pytest.approx(repeated[0])


def test_resamples_are_the_same_patients_for_every_run() -> None:
    run, better = FilmRun(PATIENTS, LABELS, SCORES), FilmRun(PATIENTS, LABELS, SCORES + 2 * np.nan_to_num(LABELS))
    assert alike([run, better])
    found = resampled_aucs([run, better, run], 200, generator("test"))
    assert found.shape == (3, 200)
    assert np.array_equal(found[0], found[2], equal_nan=True)
    assert np.nanmin(found[1]) == 1
    assert abs(np.nanmean(found[0]) - run.auc) < 0.05
    assert not alike([run, FilmRun(PATIENTS[::-1], LABELS, SCORES)])


def test_folds_are_put_together_and_votes_are_no_films() -> None:
    films = [
        {"patient": "P-1", "labels": [1, None], "probabilities": [0.9, 0.1]},
        {"patient": "P-2", "labels": [0, 1], "probabilities": [0.2, 0.8]},
    ]
    run = pooled_film_run([{"test": {"films": films[:1]}}, {"test": {"films": films[1:]}}])
    assert run is not None
    assert (run.patients, run.auc) == (("P-1", "P-2"), 1.0)
    assert pooled_film_run([{"test": {"patients": []}}]) is None


def _tested(labels: np.ndarray, scores: np.ndarray, patients: tuple[str, ...]) -> dict[str, object]:
    films = [
        {"patient": name, "labels": [None if x != x else int(x) for x in row], "probabilities": each}
        for name, row, each in zip(patients, labels.tolist(), scores.tolist(), strict=True)
    ]
    auc = FilmRun(patients, labels, scores).auc
    return {"auc": auc, "average_precision": 0.4, "hamming_loss": 0.3, "auc_low": 0.1, "films": films}


def test_folds_are_one_run_of_all_films(ledger) -> None:
    written = ledger(config={"confirm": {"folds": 2}, "task": "multilabel"})
    parts = [slice(0, 12), slice(12, 30)]
    for part, cell in zip(parts, written.rotated("net", 1000, 1, 2, task="multilabel"), strict=True):
        test = _tested(LABELS[part], SCORES[part], PATIENTS[part])
        written.end(written.trial(cell, 3), validation=test, test=test, delta=None)
    (row,) = cell_means(read_study(written.folder)).to_dict("records")
    assert row["hm"] == row["auc"] == pytest.approx(FilmRun(PATIENTS, LABELS, SCORES).auc)
    assert (row["ap"], row["seeds"]) == (pytest.approx(0.4), 1)


def test_a_page_of_films_answers_by_auc(ledger) -> None:
    written = ledger(config={"task": "multilabel", "minimum": {"resamples": 100}})
    for images, told in ((1, 0.0), (2, 2.0), (3, 2.0)):
        cell = written.cell("net", 1000, images, task="multilabel")
        test = _tested(LABELS, SCORES + told * np.nan_to_num(LABELS), PATIENTS)
        for index in (1, 2):
            written.end(written.trial(cell, index), validation=test, test=test, delta=None)
    study = read_study(written.folder)
    evidence = count_evidence(study).set_index("images")
    assert evidence["hm"].tolist() == pytest.approx([FilmRun(PATIENTS, LABELS, SCORES).auc, 1.0, 1.0])
    assert evidence["shown"].tolist()[1:] == [SUFFICIENT, SUFFICIENT]
    assert evidence["shown"].tolist()[0] != SUFFICIENT
    assert "net needs 2 images (AUC 1.00, its best)" in headline(study)[1]
    drawn = {panel.name: panel for panel in panels(study)}
    assert "operating" not in drawn, "there is no sensitivity"
    for panel in drawn.values():
        assert "HM" not in panel.title
        assert "HM" not in panel.caption
        assert "HM" not in panel.figure.to_json()
