"""How far along a study is: cells confirmed, of those that its answer needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.records.cell_means import cell_means, confirm_rows, full_training, trained_beside, training_means
from analysis.records.records import Study, setting_of
from analysis.records.rule import Rule
from analysis.stats.counts import next_count
from ledger.schema import AXES, SETTING

# What makes distilled cells one setting: ordinary training has image counts of its own kind.
_SETTING = ["backbone", *(name for name in SETTING if AXES[name].of != "training")]


def confirmed_cells(study: Study) -> tuple[int, int]:
    """How many cells have a finished confirm trial, and how many there are to confirm.

    Refused cells are not to be confirmed, nor are those of searched image counts that the answer does not need, nor
    those that only prepare where others start.
    """
    confirmed = set(confirm_rows(study.records)["cell"])
    cells = [cell for cell in study.compared_cells if not cell.get("refused")]
    wanted = {str(cell["cell"]) for cell in cells if not cell.get("counted")}
    return len(confirmed), len(wanted | confirmed | _next_counts(study, cells))


def _next_counts(study: Study, cells: list[dict[str, Any]]) -> set[str]:
    """The cells whose image count is to be run next, where counts are searched."""
    counted: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        if cell.get("counted"):
            counted[_key(cell | setting_of(cell))].append(cell)
    if not counted:
        return set()
    hms: dict[tuple[str, ...], dict[int, float]] = defaultdict(dict)
    for row in cell_means(study).to_dict("records"):
        hms[_key(row)][int(row["images"])] = float(row["hm"])
    rule, of = Rule.of(study.config), trained_beside(full_training(training_means(study)))
    found: set[str] = set()
    for setting, group in counted.items():
        facts = dict.fromkeys(SETTING) | group[0] | setting_of(group[0])
        beside = of(facts)["hm"]
        reference = float(beside.iloc[0]) if len(beside) and beside.iloc[0] >= rule.floor else None
        count = next_count(hms[setting], [cell["images"] for cell in group], rule.margin, rule.floor, reference)
        found |= {str(cell["cell"]) for cell in group if cell["images"] == count}
    return found


def _key(facts: Mapping[Any, Any]) -> tuple[str, ...]:
    """A setting's identity, however what is missing is spelled."""
    return tuple("" if facts.get(name) is None or pd.isna(facts[name]) else str(facts[name]) for name in _SETTING)
