"""The answer for people who skim: each outcome in the sentence and in its row, and what was not measured."""

from __future__ import annotations

import pytest

from analysis.records.records import read_study
from analysis.stats.minimum import minimum_images
from analysis.text.at_a_glance import for_whom_it_may_not_hold, how_to_read, in_a_sentence, networks, not_measured
from tests.analysis.conftest import voters

NETWORKS = {
    "good": (0.9, 0.9, 0.9),
    "poor": (0.65, 0.7, 0.95),
    "dead": (0.45, 0.5, 0.9),
    "hard": (0.5, 0.5, 0.5),
    "alone": (0.8, 0.8, None),
}
"""HM with one and two images, and of ordinary training."""


@pytest.fixture
def glance(ledger):
    """A study of some of the networks, and its answer."""

    def made(*names, images=(1, 2), folder="demo"):
        study = ledger(folder)
        for place, name in enumerate(names):
            for count, hm in zip((*images, None), NETWORKS[name], strict=True):
                if hm is not None:
                    cell = study.cell(name, 10 + place, count, method="sldd" if count else "train")
                    for index in range(2):
                        study.done(cell, index, hm=hm, patients=voters(hm, 100))
        read = read_study(study.folder)
        return read, minimum_images(read)

    return made


def test_every_outcome_has_a_row_and_a_place_in_the_sentence(glance) -> None:
    study, answer = glance(*NETWORKS)
    headings, rows = networks(study, answer)
    assert headings == ["network", "parameters", "images", "HM", "HM of ordinary training", "verdict"]
    assert rows == [
        ["good", "10", "1", "0.90", "0.90", "1 image suffices"],
        ["poor", "11", "3 or more", "0.70 (with 2)", "0.95", "needs more than 2 images"],
        ["dead", "12", "open", "0.50 (with 2)", "0.90", "could not be distilled"],
        ["hard", "13", "open", "0.50 (with 1)", "0.50", "not judged: ordinary training is not shown to learn"],
        ["alone", "14", "open", "0.80 (with 1)", "n/a", "not judged"],
    ]
    assert in_a_sentence(study, answer) == (
        "1 image suffices for good, one of 5 networks (95 % level, 24 test patients). The count is more than was tried "
        "for poor, could not be found for dead and is not judged for 2 of them."
    )
    assert "within 0.10 HM of the same network's ordinary training on all patches" in how_to_read(study)


@pytest.mark.parametrize(
    ("names", "begins"),
    [
        (["good"], "1 image suffices for good (95 % level, 24 test patients)."),
        (
            ["good", "poor"],
            "1 image suffices for good, one of 2 networks (95 % level, 24 test patients). The count is ",
        ),
        (["poor"], "No image count is shown to suffice for the 1 network (95 % level"),
        (["poor", "dead"], "No image count is shown to suffice for any of the 2 networks (95 % level"),
        (["alone"], "No image count is judged for the 1 network."),
    ],
)
def test_the_sentence_counts_the_networks(glance, names, begins) -> None:
    study, answer = glance(*names)
    assert in_a_sentence(study, answer).startswith(begins)


def test_where_patients_rotate_the_sentence_counts_those_of_all_folds(glance, monkeypatch) -> None:
    study, answer = glance("good")
    for where in ("text.at_a_glance", "design.planned"):
        monkeypatch.setattr(f"analysis.{where}.folds_of", lambda _: 3)
    study.provenance["cohort"]["patients"] = 60
    assert in_a_sentence(study, answer).endswith("(95 % level, 60 patients in 3 folds).")


def test_without_a_confirmed_cell_there_is_no_answer(ledger) -> None:
    study = ledger()
    study.cell("net", 10, 1)
    read = read_study(study.folder)
    assert in_a_sentence(read, minimum_images(read)) == (
        "There is no answer yet: nothing is confirmed on test patients."
    )


def test_what_was_not_measured_follows_from_what_was(glance) -> None:
    study, answer = glance("good", "alone", images=(1, 4))
    lines = list(not_measured(study, answer))
    assert "More than 4 images, nor 2 or 3." in lines
    assert "Networks of under 10 or over 11 parameters." in lines
    assert any(line.startswith("Ordinary training of 1 of 2 networks") for line in lines)
    assert any(line.startswith("Pretrained starts") for line in lines)
    real, answer = glance("good", folder="real")
    real.config["data"] = {"source": "folder"}
    other = list(not_measured(real, answer))
    assert not any(line.startswith(("Real patients", "Ordinary training")) for line in other)


def test_for_whom_it_may_not_hold_follows_from_what_was_run(glance, ledger) -> None:
    study, _ = glance("good", "alone", images=(1, 4))
    study.config["data"] = {"source": "phantom"}
    phantoms = for_whom_it_may_not_hold(study)
    assert phantoms.startswith("It may not hold for real patients (these are phantoms), patients of other hospitals, ")
    assert "networks of under 10 or over 11 parameters or more than 4 images;" in phantoms
    real, _ = glance("good", folder="real")
    real.config["data"] = {"source": "folder"}
    assert for_whom_it_may_not_hold(real) == (
        "It may not hold for patients of other hospitals, networks of other sizes than 10 parameters or more than "
        "2 images; what else was not measured ends the page."
    )
    empty = ledger("empty")
    empty.trial(empty.cell("good", 10, 1), 0)
    assert for_whom_it_may_not_hold(read_study(empty.folder)) == ""


def test_real_images_beside_distilled_ones_are_no_count_that_was_measured(ledger) -> None:
    study = ledger(methods={"random_real": {"label": "random real patches", "control": True}})
    for count, method in ((1, "sldd"), (3, "sldd"), (30, "random_real")):
        study.done(study.cell("net", 10, count, method=method), 0)
    read = read_study(study.folder)
    assert "More than 3 images, nor 2." in list(not_measured(read, minimum_images(read)))
    assert " or more than 3 images;" in for_whom_it_may_not_hold(read)
