"""What a study's answer is about: distilled images, without the real ones that stand beside them as controls."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pandas as pd

from analysis.records.records import Study


def are_controls(study: Study, methods: pd.Series) -> pd.Series:
    """Which of these methods hand over real images (`control` in `study.yaml`); ordinary training hands over none."""
    return methods.map(lambda name: not pd.isna(name) and bool(study.method(str(name))["control"])).astype(bool)


@lru_cache(maxsize=4)  # what is worked out of the study it returns is kept by that study
def without_controls(study: Study) -> Study:
    """The study without cells of controls: they are no networks of their own, and what they need is no answer. The
    study itself where it has none, or nothing else with images."""
    records = study.records
    control = are_controls(study, records["method"])
    cells = [cell for cell in study.cells if not study.method(str(cell.get("method")))["control"]]
    others = records["images"].notna() & ~control
    if len(cells) == len(study.cells) and not control.any():
        return study
    if not others.any() and all(cell.get("images") is None for cell in cells):
        return study
    return replace(study, cells=cells, records=records[~control])
