"""Runs: confirm trials of one cell at one seed, pooled over the folds' test patients.

Without folds a run is a trial. With `confirm.folds: K` the patients rotate: K cells differ in nothing but their `fold`,
every patient is a test patient in exactly one of them, and a run is the K trials of one seed. Its measures are those
of all its patients together, each called at the threshold of the trial that met them; the mean of K folds' HM would be
another number, and a noisy one, since a fold has few positive patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.records.records import Study
from ledger.schema import SCHEMA


def folds_of(study: Study) -> int | None:
    """How many folds the study's patients rotate through; None where they do not."""
    folds = study.setting("confirm", "folds")
    return folds if isinstance(folds, int) and folds > 0 else None


def read_run(study: Study, trials: Sequence[str]) -> Any:
    """The run that `trials` (one a fold, `<cell>/<i>`) make up, as its task reads it; None where one of them holds
    nothing of test patients."""
    return study.task.pooled([study.result(trial) for trial in trials])


def pool(study: Study, rows: pd.DataFrame, cell: list[str], folds: int) -> pd.DataFrame:
    """One row a complete run: `rows` (done confirm trials, columns of `records`) pooled over their folds.

    Trials that agree in the columns `cell` and in `seed` are a run; while one of its `folds` has no trial, there is no
    row. Columns as in `records`: the test measures are those of all patients together, `undecided_patients` their sum,
    every other float is the mean over the folds (`test_patch_accuracy` too: patch votes are not kept by class) and the
    rest is the first fold's, with no `fold`. Of films the scores in `columns` of their runs alone are those of all
    films together. `trials` names the run's trials, fold by fold.
    """
    floats = [name for name, dtype in SCHEMA.items() if dtype == "float64"]
    pooled, rows = [], rows[rows["fold"].notna()].sort_values("fold", kind="stable")
    for _, group in rows.groupby([*cell, "seed"], sort=False, dropna=False):
        each = group.drop_duplicates("fold")
        if each["fold"].tolist() != list(range(folds)):
            continue
        if (run := read_run(study, each["trial"].tolist())) is not None:
            row = each.iloc[0].to_dict() | each[floats].mean().to_dict()
            pooled.append(row | {"trials": tuple(each["trial"]), "fold": None} | run.columns)
    return pd.DataFrame(pooled, columns=[*SCHEMA, "trials"]).astype(SCHEMA)
