"""Image counts that all networks of a comparison were offered: networks are compared by these alone.

A network that was tried at more counts has its smallest sufficient count known more closely, and it may come out
higher. If larger networks were tried at more counts, a test would find a relation that the design itself made. Counts
that some network was not offered are therefore left out.

Where counts are searched (`grid.images: search`) that is not enough, since which counts were run depends on what the
others showed. Say one image suffices for a network: it was run with one image and with the most. If one image were left
out, because another network cannot take so few, this network would seem to need the most. So counts below the shared
ones stay, and what they show is rounded up to the shared ones: a network that one image suffices for needs two at most
(`among`). A network of which nothing is known, whose lower bound is one image, must not come out as needing two, so
that bound stays (`at_least_among`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from analysis.records.cell_means import distilled, run_rows, settings_apart
from analysis.records.controls import without_controls
from analysis.records.records import Study, compared, planned_records
from ledger.schema import DISTILLED_ALIKE, SCHEMA, SETTING

_BY = [*SETTING, "backbone"]
_OFFERED = ("done", "diverged")
"""Of a confirm trial at a count that a network was offered, whatever came of it."""


def shared(offered: Iterable[Collection[int]]) -> tuple[int, ...]:
    """The counts that every network has, ascending."""
    each = [set(counts) for counts in offered]
    return tuple(sorted(set.intersection(*each))) if each else ()


def among(counts: Sequence[int], found: pd.Series, beyond: float) -> pd.Series:
    """Smallest sufficient counts, or upper bounds of them, rounded up to the next shared count.

    With shared counts (2, 4, 8): 1 becomes 2, 3 becomes 4, and 9 becomes `beyond`. NaN stays NaN.

    Args:
        counts: the shared counts, ascending.
        found: one a network, in images.
        beyond: what stands for more than the largest shared count.
    """
    places = np.searchsorted(counts, found.astype("float64").fillna(0))
    next_one = pd.Series(np.array([*counts, beyond])[places], index=found.index)
    return next_one.where(found.notna())


def at_least_among(counts: Sequence[int], found: pd.Series) -> pd.Series:
    """Lower bounds of smallest sufficient counts, rounded up to the shared ones; arguments as in `among`.

    With shared counts (2, 4): 1 and 2 stay, since they rule none of these out, 3 becomes 4, and 5 or more becomes 5,
    which is more than the largest. NaN stays NaN.
    """
    return found.where(found.le(counts[0]) | found.isna(), among(counts, found, counts[-1] + 1))


def offered_counts(study: Study) -> pd.DataFrame:
    """One row a setting and confirmed backbone: SETTING, backbone, `offered` (the counts, a set), `series` (the setting
    in words, where networks have to be told apart by it: those of one series are compared), `shared` (the counts that
    all of the series were offered), `searched` (whether any of these were searched)."""
    rows = distilled(run_rows(study)).groupby(_BY, sort=False, dropna=False)["images"].agg(set).reset_index()
    ran = distilled(compared(study.records))
    listed = _sets(ran[ran["phase"].eq("confirm") & ran["status"].isin(_OFFERED)])
    counted = [bool(cell.get("counted")) and not cell.get("refused") for cell in study.compared_cells]
    planned = planned_records(study)
    searched = _sets(planned[pd.Series(counted, index=planned.index, dtype=bool)].dropna(subset="images"))
    names = _keys(rows)
    offered = [listed.get(name, set()) | searched.get(name, set()) for name in names]
    rows = rows.assign(offered=pd.Series(offered, dtype=object), series=settings_apart(rows))
    every = {series: shared(own) for series, own in rows.groupby("series", sort=False)["offered"]}
    counts = pd.Series([every[series] for series in rows["series"]], index=rows.index, dtype=object)
    kinds = pd.Series([name in searched for name in names], index=rows.index, dtype=bool)
    return rows.assign(shared=counts, searched=kinds.groupby(rows["series"]).transform("any"))


@lru_cache(maxsize=4)  # the same object each time: what is worked out of it is kept by it
def alike(study: Study) -> Study:
    """The study `without_controls`, and without the distilled cells at counts that not all networks of their series
    were offered, unless the search of others depended on them; the study itself where there are none."""
    study = without_controls(study)
    dropped: dict[str, set[int]] = {}
    rows = offered_counts(study)
    for name, row in zip(_keys(rows), rows.to_dict("records"), strict=True):
        extra = set(map(int, row["images"])) - set(row["shared"])
        if row["searched"] and row["shared"]:
            most = row["shared"][-1]
            # Smaller counts stay (see above). Larger ones said what is best: they go, since the others say enough of
            # that, unless the network was run at no others.
            larger = {count for count in extra if count > most}
            extra = larger if min(row["images"]) <= most else set()
        dropped[name] = extra
    if not any(dropped.values()):
        return study
    records = study.records
    kept = [
        pd.isna(images) or int(images) not in dropped.get(name, ())
        for name, images in zip(_keys(records), records["images"], strict=True)
    ]
    return replace(study, records=records[kept])


def _sets(rows: pd.DataFrame) -> dict[str, set[int]]:
    """The image counts of rows, by setting and backbone."""
    found: dict[str, set[int]] = {}
    for name, images in zip(_keys(rows), rows["images"], strict=True):
        found.setdefault(name, set()).add(int(images))
    return found


def _keys(rows: pd.DataFrame) -> list[str]:
    """A distilled cell's setting and backbone, in one word, however what is missing is spelled."""
    names = [*DISTILLED_ALIKE, "backbone"]
    told = rows.astype({name: SCHEMA[name] for name in names})
    columns = [told[name].astype("string").fillna("") for name in names]
    return ["\x1f".join(each) for each in zip(*columns, strict=True)]
