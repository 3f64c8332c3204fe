"""Intervals stand beside the score that they are of."""

from __future__ import annotations

from analysis.records.records import read_study
from analysis.tables.cell_intervals import INTERVAL, with_intervals
from analysis.tables.matching import measured_cells
from tests.analysis.conftest import voters

TRAINING = {"method": "train", "label_init": None, "distill_steps": None, "distill_epochs": None,
            "train_classes": "INP"}  # fmt: skip


def test_training_that_never_scored_takes_no_interval_from_the_one_that_did(ledger):
    study = ledger()
    few, many = (study.cell("net", 1000, None, cell=f"train-e{each}", epochs=each, **TRAINING) for each in (10, 50))
    for index in range(2):
        study.done(few, index, hm=0.9, patients=voters(0.9))
        study.end(study.trial(many, index), status="failed", error="out of memory")
        study.done("net-m1-one_hot-as_is-sldd-s1e1" if index else study.cell("net", 1000, 1), index, hm=0.85,
                   patients=voters(0.85))  # fmt: skip
    read = read_study(study.folder)
    cells = with_intervals(measured_cells([read]), read).set_index("cell")
    assert cells.loc[many, INTERVAL].isna().all()
    low, high = cells.loc[few, INTERVAL]
    assert low < 0.9 < high
