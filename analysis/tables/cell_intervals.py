"""Intervals over patients and seeds of the cells in a table."""

from __future__ import annotations

import pandas as pd

from analysis.records.cell_means import full_training, trained_beside, usual_epochs
from analysis.records.records import Study
from analysis.stats.evidence import CELL, count_evidence

INTERVAL = ["interval_low", "interval_high"]


def with_intervals(cells: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The rows of `analysis.tables.matching.measured_cells` with `interval_low` and `interval_high` of the score, as of
    `count_evidence`; missing where no cell has two seeds, and for training that no image count is held against."""
    evidence = count_evidence(study)
    cells = cells.merge(evidence[[*CELL, *INTERVAL]], on=CELL, how="left")
    beside = trained_beside(full_training(cells[cells["hm"].notna()]), usual_epochs(study))
    for row in evidence[evidence["trained_low"].notna()].to_dict("records"):
        cells.loc[beside(row).index, INTERVAL] = [row["trained_low"], row["trained_high"]]
    return cells


def interval_words(row: pd.Series) -> str:
    """`0.912 to 0.964`."""
    return "-" if pd.isna(row["interval_low"]) else f"{row['interval_low']:.3f} to {row['interval_high']:.3f}"
