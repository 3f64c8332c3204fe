"""Rates that were learned away are said in the records and on the page."""

from __future__ import annotations

import json

import pytest

from analysis.dashboard import write_dashboard
from analysis.records.idle import IDLE, idle_rates
from analysis.records.records import read_study, write_records
from analysis.text.summary import troubles
from sldd.package.rebuild import verify


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ([[1e-23]], "inner rates fell to 1e-23"),
        ([[1e-23, 3e-12]], "inner rates fell to 3e-12"),
        ([[[0.0, 0.0]]], "inner rates fell to 0e+00"),
        ([[0.02]], None),
        ([[1e-23, 0.02]], None),
        ([[[1e-23, 0.02]]], None),
        (None, None),
        ([], None),
        ([["x", None]], None),
        ([[float("nan")]], None),
        ([[True]], None),
        ([[10**400]], None),
        ([[-(10**400), 1e-23]], None),
        ([[[[[1e-23]]]]], None),
        ({"rates": 1e-23}, None),
    ],
)
def test_rates(rates, said):
    found = idle_rates(rates)
    assert (found is None) == (said is None)
    assert said is None or said in found


def test_they_stand_in_records_and_among_the_troubles(ledger):
    study = ledger()
    cell = study.cell("net", 1, 1)
    for number, (phase, rates) in enumerate((("search", [[1e-23]]), ("confirm", [[1e-23]]), ("confirm", [[0.01]]))):
        folder = study.done(cell, number, phase)
        study.end(folder, **json.loads((folder / "result.json").read_text()) | {"rates": rates})
    read = read_study(study.folder)
    assert read.records["note"].notna().tolist() == [True, True, False]
    assert "note" in write_records(study.folder).read_text().splitlines()[0]
    listed = troubles(read)
    assert listed["where"].tolist() == [f"{cell}/1"]
    assert listed["status"].tolist() == ["done"]
    assert listed["reason"].str.contains("images change nothing").all()
    page = write_dashboard(study.folder).read_text()
    assert "Failed, diverged and refused, or without effect" in page


def test_packages_are_judged_alike():
    assert IDLE == verify.IDLE
