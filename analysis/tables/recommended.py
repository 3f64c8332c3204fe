"""Recommended settings for the next study, by size of network: what the best search trials had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.records.records import Study
from analysis.stats.importance import BEST, FEWEST
from analysis.stats.minimum import percent
from analysis.stats.searched import MIDDLE, RATES, searched_settings, setting_word
from analysis.tables.formats import Column, Table, words
from analysis.text.words import parameters_word

FEW, UNTOLD = "too few trials to say", "not told from chance"


def recommended_table(study: Study) -> Table | None:
    """A row for all networks of a method and for each third of them by parameters; None where nothing was searched."""
    found = searched_settings(study)
    if found.empty:
        return None
    frame = pd.DataFrame(list(_rows(study, found)))
    columns = [words("group", "Networks"), words("trials_words", "Search\ntrials")]
    columns += [_column(name) for name in dict.fromkeys(found["setting"])]
    columns.append(words("next", "For the next study"))
    lines = [
        f"What the best {percent(BEST)} of each cell's search trials had, on validation patients only: rates of the "
        f"middle {percent(MIDDLE)} of them. A setting is narrowed only where the best trials differ from all by more "
        f"than chance (5 % level, a third of the networks at a third of it), and nothing is said of under {FEWEST} "
        'trials. "Or lower", "or higher": that end is one of what was tried, and the best may lie beyond.'
    ]
    return Table(f"{study.name}: recommended settings by network size", columns, frame, lines)


def _rows(study: Study, found: pd.DataFrame) -> Iterator[dict[str, Any]]:
    several_methods = found["method"].nunique() > 1
    for _, rows in found.groupby(["method", "third"], sort=False):
        first = rows.iloc[0]
        label = f"{study.method(str(first['method']))['label']}: " if several_methods else ""
        sizes = dict.fromkeys(parameters_word(first[end]) for end in ("least", "most") if pd.notna(first[end]))
        networks = int(first["networks"])
        group = f"{label}{'all ' if first['third'] == 0 else ''}{networks} network{'s' * (networks > 1)}"
        row = {"study": study.name, "group": group + (f", {' to '.join(sizes)} parameters" if sizes else "")}
        row |= {name: first[name] for name in ("method", "networks", "least", "most", "trials", "best")}
        row["trials_words"] = f"{first['trials']}" + ("" if pd.isna(first["best"]) else f", {first['best']} best")
        for setting in rows.to_dict("records"):
            name = setting["setting"]
            row[name] = _word(setting)
            row |= {f"{name}_{key}": setting[key] for key in ("importance", "p", "low", "high")}
        row["next"] = " ".join(filter(None, (_to_copy(study, each) for each in rows.to_dict("records"))))
        yield row


def _word(setting: Mapping[Any, Any]) -> str:
    """The range or choice of the best trials, or why there is none."""
    if pd.isna(setting["importance"]):
        return FEW
    if not setting["told"]:
        return UNTOLD
    if pd.notna(setting["choice"]):
        return str(setting["choice"])
    beyond = f" or {setting['edge']}" if pd.notna(setting["edge"]) else ""
    return f"{setting['low']:.2g} to {setting['high']:.2g}{beyond}"


def _to_copy(study: Study, setting: Mapping[Any, Any]) -> str | None:
    """The words that narrow a setting on the command line; None where it is not told, or nobody knows its name."""
    if not (pd.notna(setting["told"]) and setting["told"]):
        return None
    name = setting["setting"]
    if name not in RATES:
        return f"distill.{name.removeprefix('options.')}={setting['choice']}"
    ranges = study.method(str(setting["method"]))["ranges"]
    within = ranges.get(name, name) if isinstance(ranges, dict) else name
    tried = study.setting("search", within)
    low, high = (float(f"{setting[end]:.2g}") for end in ("low", "high"))
    # Studies from before methods said so: ordinary training has a range of another name.
    known = isinstance(tried, list) and len(tried) == 2 and tried[0] * 0.95 <= low < high <= tried[1] * 1.05
    return f"search.{within}=[{low:g},{high:g}]" if known else None


def _column(name: str) -> Column:
    heading = setting_word(name)
    return Column(heading[0].upper() + heading[1:], lambda row: "" if pd.isna(row[name]) else row[name], words=True)
