"""How far along a study is."""

from __future__ import annotations

from analysis.records.records import read_study
from analysis.stats.coverage import confirmed_cells


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
