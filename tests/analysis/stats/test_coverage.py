"""How far along a study is."""

from __future__ import annotations

import pytest

from analysis.records.records import read_study
from analysis.stats.coverage import confirmed_cells
from analysis.text.summary import state

ASKED = {"search": {"trials": 1}, "confirm": {"repeats": 2}}


def test_refused_cells_are_not_to_be_confirmed(ledger):
    study = ledger()
    study.done(study.cell("net", 10, 1), 0)
    study.cell("net", 10, 2)
    study.cell("deep", 99, 1, refused="too deep")
    assert confirmed_cells(read_study(study.folder)) == (1, 2)


def test_searched_counts_that_the_answer_does_not_need_are_not_to_be_confirmed(ledger):
    study = ledger()
    cells = {count: study.cell("net", 10, count, counted=True) for count in (1, 2, 3, 4)}
    assert confirmed_cells(read_study(study.folder)) == (0, 1), "the largest is run first"
    study.done(cells[4], 0, hm=0.9)
    assert confirmed_cells(read_study(study.folder)) == (1, 2)
    study.done(cells[1], 0, hm=0.5)
    assert confirmed_cells(read_study(study.folder)) == (2, 3)
    study.done(cells[2], 0, hm=0.85)
    assert confirmed_cells(read_study(study.folder)) == (3, 3), "two suffice; three need not be run"
    study.trial(cells[3], 0, "search")
    assert confirmed_cells(read_study(study.folder)) == (3, 3), "begun for another reason, and still not needed"


@pytest.mark.parametrize(
    ("trained", "hms", "wanted"),
    [
        (0.95, {4: 0.8}, 0),  # the most images fall short of it, so that no count suffices
        (0.85, {4: 0.8, 1: 0.78}, 0),  # one image suffices
        (0.45, {4: 0.8, 1: 0.5}, 1),  # it does not learn itself, and is nothing to come close to
        (None, {4: 0.8}, 1),
    ],
)
def test_ordinary_training_is_what_searched_counts_are_held_against(ledger, trained, hms, wanted):
    study = ledger()
    for count in (1, 2, 3, 4):
        cell = study.cell("net", 10, count, counted=True)
        if count in hms:
            study.done(cell, 0, hm=hms[count])
    if trained is not None:
        study.done(study.cell("net", 10, None, method="train"), 0, hm=trained)
    confirmed = len(hms) + (trained is not None)
    assert confirmed_cells(read_study(study.folder)) == (confirmed, confirmed + wanted)


def test_a_count_that_failed_for_good_is_passed_over(ledger):
    study = ledger(config=ASKED)
    cells = {count: study.cell("net", 10, count, counted=True) for count in (1, 2, 3, 4)}
    study.done(cells[4], 0, "search")
    study.end(study.trial(cells[4], 1), status="diverged")
    assert confirmed_cells(read_study(study.folder)) == (0, 1), "one of two confirm trials is to come"
    study.end(study.trial(cells[4], 2), status="diverged")
    assert confirmed_cells(read_study(study.folder)) == (0, 1), "three is the largest that can be run"
    study.done(cells[3], 0, hm=0.9)
    study.done(cells[1], 0, hm=0.85)
    read = read_study(study.folder)
    assert confirmed_cells(read) == (2, 2)
    assert state(read) == []


def test_a_count_of_which_no_run_has_all_folds_is_passed_over(ledger):
    study = ledger(config=ASKED | {"confirm": {"repeats": 1, "folds": 2}})
    folds = {count: study.rotated("net", 10, count, 2, counted=True) for count in (1, 2)}
    study.end(study.trial(folds[2][0], 0), status="diverged")
    assert confirmed_cells(read_study(study.folder)) == (0, 1), "the other fold is still to be run"
    study.done(folds[2][1], 0)
    assert confirmed_cells(read_study(study.folder)) == (1, 3), "and then both of one image"


@pytest.mark.parametrize(
    ("phase", "statuses", "wanted"),
    [
        ("confirm", ["diverged", "diverged"], 1),
        ("confirm", ["diverged"], 2),
        ("confirm", ["diverged", "failed"], 2),
        ("search", ["diverged"], 1),
        ("search", ["failed"], 2),
    ],
)
def test_a_cell_that_diverged_for_good_is_not_waited_for(ledger, phase, statuses, wanted):
    study = ledger(config=ASKED)
    study.done(study.cell("net", 10, 1), 0)
    lost = study.cell("net", 10, 2)
    for index, status in enumerate(statuses):
        study.end(study.trial(lost, index, phase), status=status)
    assert confirmed_cells(read_study(study.folder)) == (1, wanted)


def test_who_saw_the_end_knows_of_searches_that_were_cut_short(ledger):
    study = ledger(config={"search": {"trials": 8}, "confirm": {"repeats": 2}})
    study.end(study.trial(study.cell("net", 10, 1), 0, "search"), status="diverged")
    assert confirmed_cells(read_study(study.folder)) == (0, 1)
    study.described["provenance"]["finished"] = "2026-11-21T23:30:00+00:00"
    study.save()
    assert confirmed_cells(read_study(study.folder)) == (0, 0)
