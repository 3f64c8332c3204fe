"""Cross-network table: what the images of each cell are worth to fresh starts of its own network and of others."""

from __future__ import annotations

import pandas as pd

from analysis.records.cell_means import run_rows
from analysis.records.records import Study, fresh_starts
from analysis.tables.formats import Column, Table, decimals, words

_ROW = ("backbone", "start", "score", "error")


def fresh_rows(study: Study) -> pd.DataFrame:
    """One row a confirm trial, network and fresh start: `cell`, and of the start `backbone`, `start`, `score`, `error`,
    why that network could not be trained so."""
    found = [
        {"cell": run["cell"]} | {name: row.get(name) for name in _ROW}
        for _, run in run_rows(study).iterrows()
        for trial in run["trials"]
        for row in fresh_starts(study.result(trial))
    ]
    frame = pd.DataFrame(found, columns=["cell", *_ROW])
    return frame.assign(score=pd.to_numeric(frame["score"], errors="coerce"), backbone=frame["backbone"].map(str))


def cross_table(study: Study) -> Table | None:
    """A row a cell, a column a network: the mean score over fresh starts and seeds; None where none was trained."""
    if not study.setting("evaluate", "starts"):  # else every result would be read for nothing
        return None
    rows = fresh_rows(study)
    if rows["score"].isna().all():
        return None
    means = rows.pivot_table(index="cell", columns="backbone", values="score", aggfunc="mean", sort=False)
    frame = means.reset_index()
    frame.insert(0, "study", study.name)
    columns = [words("cell", "Cell"), *(decimals(str(name), str(name)) for name in means.columns)]
    failed = rows.loc[rows["error"].notna(), "backbone"].unique()
    lines = [f"Mean {study.task.word} on test patients over fresh starts, trained on the images alone."]
    lines += [f"Could not be trained so: {', '.join(map(str, failed))}."] if len(failed) else []
    return Table(f"{study.name}: fresh starts", list[Column](columns), frame, lines)
