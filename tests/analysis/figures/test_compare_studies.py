"""Several studies beside each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analysis.figures.compare_studies import side_by_side_figure, side_by_side_frame, side_by_side_rows
from analysis.records.records import read_study
from tests.analysis.conftest import Ledger, voters


def test_each_networks_best_and_smallest_count_stand_beside_each_other(ledger: Callable[..., Ledger]) -> None:
    ours, theirs, empty = ledger("ours"), ledger("theirs"), ledger("empty")
    trained = {"method": "train", "label_init": None, "distill_steps": None, "distill_epochs": None}
    for images, hm in ((1, 0.75), (2, 0.8), (None, 0.8)):
        cell = ours.cell("net", 10, images, **({} if images else trained))
        for index in range(2):
            ours.done(cell, index, hm=hm, patients=voters(hm, 200))
        theirs.done(theirs.cell("net", 10, images), 0, hm=hm - 0.5)
    ours.done(ours.cell("other", 20, 1), 0, hm=0.9)
    frame = side_by_side_frame([read_study(study.folder) for study in (ours, theirs, empty)])
    headings, rows = side_by_side_rows(frame)
    assert headings == ["network", "parameters", "ours", "theirs"]
    assert rows == [
        [
            "net",
            "10",
            "HM 0.80 with 2 images; 1 image shown to suffice; 1 image by the papers' rule",
            "HM 0.30 with 2 images; not judged; no count by the papers' rule",
        ],
        ["other", "20", "HM 0.90 with 1 image; not judged; 1 image by the papers' rule", "not run"],
    ]
    assert [(trace.name, trace.y) for trace in side_by_side_figure(frame).data] == [
        ("ours", (0.8, 0.9)),
        ("theirs", (pytest.approx(0.3),)),
    ]


def test_studies_of_one_name_are_told_apart(ledger: Callable[..., Ledger]) -> None:
    studies = []
    for folder in ("a", "b"):
        study = ledger(folder, name="lungs")
        study.done(study.cell("net", 10, 1), 0)
        studies.append(read_study(study.folder))
    assert side_by_side_frame(studies)["study"].tolist() == ["lungs (1)", "lungs (2)"]


def test_scores_of_different_kinds_are_called_by_their_names(ledger: Callable[..., Ledger]) -> None:
    patients, classes = ledger("patients"), ledger("classes", config={"task": "classes"})
    patients.done(patients.cell("net", 10, 1), 0)
    test = {"balanced_accuracy": 0.6, "accuracy": 0.6, "auc": 0.7}
    cell = classes.cell("net", 10, 1, task="classes")
    classes.end(classes.trial(cell, 0), validation=test, test=test, delta=None)
    frame = side_by_side_frame([read_study(study.folder) for study in (patients, classes)])
    drawn = side_by_side_figure(frame)
    assert drawn.layout.yaxis.title.text == "best score on test patients"
    assert [trace.name for trace in drawn.data] == ["classes, balanced accuracy", "patients, HM"]
    _, ((_, _, ours, theirs),) = side_by_side_rows(frame)
    assert [ours.split(" 0.")[0], theirs.split(" 0.")[0]] == ["balanced accuracy", "HM"]


def test_real_images_have_a_score_and_no_count_that_suffices(ledger: Callable[..., Ledger]) -> None:
    study = ledger("demo", methods={"random_real": {"label": "random real patches", "control": True}})
    study.done(study.cell("net", 10, 1), 0, hm=0.9)
    study.done(study.cell("net", 10, 3, method="random_real"), 0, hm=0.51)
    _, rows = side_by_side_rows(side_by_side_frame([read_study(study.folder)] * 2))
    answers = {name: answer for name, _, answer, _ in rows}
    assert answers["net (RANDOM REAL)"] == "HM 0.51 with 3 images"
    assert answers["net (SLDD)"] == "HM 0.90 with 1 image; not judged; 1 image by the papers' rule"
