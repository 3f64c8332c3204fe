"""How far along a study is: cells confirmed, of those that its answer needs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Set
from typing import Any

import pandas as pd

from analysis.records.cell_means import (
    cell_means,
    confirm_rows,
    full_training,
    trained_beside,
    training_means,
    usual_epochs,
)
from analysis.records.records import Study, compared, setting_of
from analysis.records.rule import Rule
from analysis.stats.counts import next_count
from ledger.schema import DISTILLED_ALIKE, SETTING


def confirmed_cells(study: Study) -> tuple[int, int]:
    """How many cells have a finished confirm trial, and how many there are to confirm.

    Refused cells are not to be confirmed, nor are those that have come to no score and never will, those of searched
    image counts that the answer does not need, and those that only prepare where others start.
    """
    confirmed, over = set(confirm_rows(study.records)["cell"]), _over(study)
    cells = [cell for cell in study.compared_cells if not cell.get("refused")]
    listed = {str(cell["cell"]) for cell in cells if not cell.get("counted")}
    still_to_confirm = (listed | _next_counts(study, cells, over)) - over
    return len(confirmed), len(confirmed | still_to_confirm)


def _over(study: Study) -> set[str]:
    """Names of the cells that have no trial left to run.

    All of their confirm trials have ended, or every search trial diverged, so that there is nothing to confirm. Once a
    driver has seen the end of the study, any cell without a running or failed trial is over. A failed trial does not
    count as ended: it is tried again.
    """
    records = compared(study.records)
    left = records.loc[records["status"].isin(["running", "failed"]), "cell"]
    ended = records[~records["cell"].isin(left)]
    if study.provenance.get("finished"):  # searches may be cut short; a driver has seen the end of them
        return set(ended["cell"])
    diverged = ended["status"].eq("diverged")
    # By cell: how many trials of the phase ended (`size`), and whether all of them diverged (`all`).
    confirm, search = (
        diverged[ended["phase"].eq(phase).fillna(False)].groupby(ended["cell"]).agg(["size", "all"])
        for phase in ("confirm", "search")
    )
    ended_confirm = confirm[confirm["size"].ge(_asked(study, "confirm", "repeats"))]
    nothing_to_confirm = search[search["size"].ge(_asked(study, "search", "trials")) & search["all"]]
    return {*ended_confirm.index, *nothing_to_confirm.index}


def _asked(study: Study, section: str, name: str) -> float:
    """How many trials of a kind every cell gets; infinite where the study does not say."""
    count = study.setting(section, name)
    return count if isinstance(count, int) else math.inf


def _next_counts(study: Study, cells: list[dict[str, Any]], over: Set[str]) -> set[str]:
    """The cells whose image count is to be run next, where counts are searched."""
    counted: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        if cell.get("counted"):
            counted[_key(cell | setting_of(cell))].append(cell)
    if not counted:
        return set()
    hms: dict[tuple[str, ...], dict[int, float | None]] = defaultdict(dict)
    for row in cell_means(study).to_dict("records"):
        hms[_key(row)][int(row["images"])] = float(row["hm"])
    rule, of = Rule.of(study.config), trained_beside(full_training(training_means(study)), usual_epochs(study))
    found: set[str] = set()
    for setting, group in counted.items():
        facts = dict.fromkeys(SETTING) | group[0] | setting_of(group[0])
        beside = of(facts)["hm"]
        reference = float(beside.iloc[0]) if len(beside) and beside.iloc[0] >= rule.floor else None
        counts = {cell["images"] for cell in group}
        failed = counts - {cell["images"] for cell in group if cell["cell"] not in over}
        known = dict.fromkeys(failed) | hms[setting]
        count = next_count(known, list(counts), rule.margin, rule.floor, reference)
        found |= {str(cell["cell"]) for cell in group if cell["images"] == count}
    return found


def _key(facts: Mapping[Any, Any]) -> tuple[str, ...]:
    """A distilled cell's network and setting, however what is missing is spelled."""
    names = ("backbone", *DISTILLED_ALIKE)
    return tuple("" if facts.get(name) is None or pd.isna(facts[name]) else str(facts[name]) for name in names)
