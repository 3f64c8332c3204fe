"""Image counts that all networks of a comparison were offered: what was tried alike can be compared.

If larger networks were tried at more counts, their smallest counts are known more closely and may be higher, whatever
they need: tests would then find a relation that is the design's own. Counts that were searched differ by what networks
showed, by the same search for all of them: they stay as they are, if the same ones could have been run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import lru_cache

import pandas as pd

from analysis.records.cell_means import distilled, run_rows, settings_apart
from analysis.records.controls import without_controls
from analysis.records.records import Study
from ledger.schema import SETTING


def shared(offered: Iterable[Collection[int]]) -> tuple[int, ...]:
    """The counts that every network has, ascending."""
    each = [set(counts) for counts in offered]
    return tuple(sorted(set.intersection(*each))) if each else ()


def offered_counts(study: Study) -> pd.DataFrame:
    """One row a setting and confirmed backbone: SETTING, backbone, `offered` (the counts, a set), `series` (the setting
    in words, where networks have to be told apart by it: those of one series are compared)."""
    candidates: dict[str, set[int]] = {}
    for cell in study.compared_cells:
        if cell.get("counted") and not cell.get("refused"):
            candidates.setdefault(str(cell["backbone"]), set()).add(int(cell["images"]))
    by = [*SETTING, "backbone"]
    groups = distilled(run_rows(study)).groupby(by, sort=False, dropna=False)["images"]
    rows = groups.agg(set).rename("offered").reset_index()
    pairs = zip(rows["backbone"], rows["offered"], strict=True)
    offered = pd.Series([set(map(int, own)) | candidates.get(name, set()) for name, own in pairs], dtype=object)
    return rows.assign(offered=offered, series=settings_apart(rows))


@lru_cache(maxsize=4)  # what is worked out of the study it returns is kept by that study
@lru_cache(maxsize=4)  # the same object each time: what is worked out of it is kept by it
def alike(study: Study) -> Study:
    """The study `without_controls`, and without the distilled cells at counts that not all networks of their series
    were offered; the study itself where there are none."""
    study = without_controls(study)
    rows = offered_counts(study)
    dropped: dict[str, set[int]] = {}
    for _, series in rows.groupby("series", sort=False):
        counts = set(shared(series["offered"]))
        dropped |= {name: own - counts for name, own in zip(_keys(series), series["offered"], strict=True)}
    if not any(dropped.values()):
        return study
    records = study.records
    kept = [
        pd.isna(images) or int(images) not in dropped.get(name, ())
        for name, images in zip(_keys(records), records["images"], strict=True)
    ]
    return replace(study, records=records[kept])


def _keys(rows: pd.DataFrame) -> list[str]:
    """A setting and backbone, in one word."""
    columns = [rows[name].astype("string").fillna("") for name in [*SETTING, "backbone"]]
    return ["\x1f".join(each) for each in zip(*columns, strict=True)]
