"""Macro AUC and average precision of films with findings, against scikit-learn, and resampled by patient."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from analysis.page.panels import panels
from analysis.records.bootstrap import generator
from analysis.records.cell_means import cell_means
from analysis.records.class_runs import ClassRun
from analysis.records.multilabel_runs import (
    FilmRun,
    alike,
    macro_ap,
    macro_auc,
    pooled_film_run,
    resampled_aucs,
    resampled_scores,
    worth_of,
)
from analysis.records.records import read_study
from analysis.stats.evidence import SUFFICIENT, count_evidence
from analysis.text.summary import headline
from tests.analysis.films import LABELS, PATIENTS, SCORES, film_split


def test_against_scikit_learn_over_the_classes_that_are_defined() -> None:
    known, run = ~np.isnan(LABELS[:, 0]), FilmRun(PATIENTS, LABELS, SCORES)
    undefined = FilmRun(PATIENTS, LABELS[:, 2:], SCORES[:, 2:])
    for found, nothing, score in (
        (run.auc, undefined.auc, roc_auc_score),
        (run.ap, undefined.ap, average_precision_score),
    ):
        wanted = [score(LABELS[known, 0], SCORES[known, 0]), score(LABELS[:, 1], SCORES[:, 1])]
        assert found == pytest.approx(np.mean(wanted))
        assert math.isnan(nothing)


def test_a_class_that_everybody_has_or_nobody_knows_has_no_scores() -> None:
    for labels in (np.ones((30, 1)), np.full((30, 1), np.nan)):
        run = FilmRun(PATIENTS, labels, SCORES[:, :1])
        assert math.isnan(run.auc)
        assert math.isnan(run.ap)


def test_weights_count_films_as_often() -> None:
    times = np.random.default_rng(1).integers(0, 3, 30)
    again = np.repeat(np.arange(30), times)
    for macro in (macro_auc, macro_ap):
        found = macro(times[None].astype(float), LABELS, SCORES)
        repeated = macro(np.ones((1, len(again))), LABELS[again], SCORES[again])
        assert found[0] == pytest.approx(repeated[0])


def test_resamples_are_the_same_patients_for_every_run() -> None:
    run, better = FilmRun(PATIENTS, LABELS, SCORES), FilmRun(PATIENTS, LABELS, SCORES + 2 * np.nan_to_num(LABELS))
    assert alike([run, better])
    found = resampled_scores([run, better, run], 200, generator("test"))
    assert found.shape == (3, 200)
    assert np.array_equal(found[0], found[2], equal_nan=True)
    assert np.nanmin(found[1]) == 1
    assert abs(np.nanmean(found[0]) - run.auc) < 0.05
    assert not alike([run, FilmRun(PATIENTS[::-1], LABELS, SCORES)])


def test_ordinary_training_of_other_films_is_left_out_and_runs_of_other_films_have_no_scores() -> None:
    run, other = FilmRun(PATIENTS, LABELS, SCORES), FilmRun(PATIENTS[::-1], LABELS, SCORES)
    for beside, rows in ((run, 2), (other, 1)):
        found = resampled_aucs([run], [beside], 20, generator("test"))
        assert found is not None
        assert found.scores == pytest.approx([run.auc] * rows)
        assert len(found.drawn) == rows
    assert resampled_aucs([run, other], [], 20, generator("test")) is None


def test_a_mean_over_classes_is_worth_what_its_classes_are_known_by() -> None:
    """Ten subjects of one class, ninety of the other, an image each."""
    labels = np.eye(2)[np.repeat([0, 1], [10, 90])]
    names = tuple(f"P-{number:02d}" for number in range(100))
    assert worth_of(ClassRun(names, labels, labels)) == pytest.approx(4 / (1 / 10 + 1 / 90))  # 36: a share of each
    assert worth_of(FilmRun(names, labels, labels)) == pytest.approx(20)  # AUCs: those who are fewer, twice
    shared = tuple(f"P-{number % 10}" for number in range(100))
    assert worth_of(ClassRun(shared, labels, labels)) == 10, "never more than there are"
    absent = np.insert(labels, 2, 0, axis=1)
    assert worth_of(ClassRun(names, absent, absent)) == pytest.approx(36)


def test_folds_are_put_together_and_votes_are_no_films() -> None:
    films = [
        {"patient": "P-1", "labels": [1, None], "probabilities": [0.9, 0.1]},
        {"patient": "P-2", "labels": [0, 1], "probabilities": [0.2, 0.8]},
    ]
    run = pooled_film_run([{"test": {"films": films[:1]}}, {"test": {"films": films[1:]}}])
    assert run is not None
    assert (run.patients, run.auc) == (("P-1", "P-2"), 1.0)
    assert pooled_film_run([{"test": {"patients": []}}]) is None


def test_folds_are_one_run_of_all_films(ledger) -> None:
    written = ledger(config={"confirm": {"folds": 2}, "task": "multilabel"})
    parts = [slice(0, 12), slice(12, 30)]
    for part, cell in zip(parts, written.rotated("net", 1000, 1, 2, task="multilabel"), strict=True):
        test = film_split(LABELS[part], SCORES[part], PATIENTS[part])
        written.end(written.trial(cell, 3), validation=test, test=test, delta=None)
    (row,) = cell_means(read_study(written.folder)).to_dict("records")
    assert row["hm"] == row["auc"] == pytest.approx(FilmRun(PATIENTS, LABELS, SCORES).auc)
    assert row["ap"] == pytest.approx(FilmRun(PATIENTS, LABELS, SCORES).ap)
    assert (row["hamming_loss"], row["seeds"]) == (pytest.approx(0.3), 1)


def test_a_page_of_films_answers_by_auc(ledger) -> None:
    written = ledger(config={"task": "multilabel", "minimum": {"resamples": 100}})
    # Of ten patients, even all told rightly, nothing is shown.
    labels, scores = (np.tile(films, (12, 1)) for films in (LABELS, SCORES))
    patients = tuple(f"{name}-{times}" for times in range(12) for name in PATIENTS)
    for images, told in ((1, 0.0), (2, 2.0), (3, 2.0), (None, 2.0)):
        cell = written.cell("net", 1000, images, task="multilabel", method="sldd" if images else "train")
        test = film_split(labels, scores + told * np.nan_to_num(labels), patients)
        for index in (1, 2):
            written.end(written.trial(cell, index), validation=test, test=test, delta=None)
    study = read_study(written.folder)
    evidence = count_evidence(study).set_index("images")
    assert evidence["hm"].tolist() == pytest.approx([FilmRun(PATIENTS, LABELS, SCORES).auc, 1.0, 1.0])
    assert evidence["shown"].tolist()[1:] == [SUFFICIENT, SUFFICIENT]
    assert evidence["shown"].tolist()[0] != SUFFICIENT
    assert "2 images suffice for net (AUC 1.00; fewer fall short)" in headline(study)[1]
    drawn = {panel.name: panel for panel in panels(study)}
    assert "operating" not in drawn, "there is no sensitivity"
    for panel in drawn.values():
        assert "HM" not in panel.title
        assert "HM" not in panel.caption
        assert "HM" not in panel.figure.to_json()
