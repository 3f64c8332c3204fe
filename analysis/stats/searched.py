"""Searched settings of a study: how much each mattered, and which values its best search trials had.

Of search trials and validation patients alone. The first trial of a cell takes the middle of every range, so that it
cannot tell settings apart; it is left out where several are searched. Under the papers' protocol search trials were
scored on test patients, and nothing is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from analysis.records.bootstrap import generator
from analysis.records.records import Study, compared
from analysis.stats.importance import FEWEST, LEVEL, Values, best_of, importances

RATES = {"outer_lr": "outer rate", "inner_lr": "start of inner rates"}
"""Columns of records that a search chooses, in words."""
MIDDLE = 0.8
"""Share of the best trials' values that a range holds."""
SETTINGS_SCHEMA = {
    "method": "string",
    "networks": "Int64",
    "least": "Int64",
    "most": "Int64",
    "third": "Int64",
    "setting": "string",
    "trials": "Int64",
    "best": "Int64",
    "importance": "float64",
    "importance_low": "float64",
    "importance_high": "float64",
    "p": "float64",
    "told": "boolean",
    "low": "float64",
    "high": "float64",
    "choice": "string",
    "edge": "string",
}


def comparable(study: Study) -> pd.DataFrame:
    """Search trials that can be held against others of their cell: columns of `records`, one of each searched option of
    `distill` (`options.NAME`, its choice as JSON), and `reached`, the mean of the validation scores that states are
    chosen by, -1 of a trial that diverged. Those of a cell stand together, its best first."""
    records = compared(study.records)
    ended = records["phase"].eq("search") & records["status"].isin(["done", "diverged"])
    rows = records[ended.fillna(False).astype(bool) & records["protocol"].ne("paper")]
    rows = rows[(rows[list(RATES)].fillna(1.0) > 0).all(axis=1)]
    reached = rows[[f"val_{name}" for name in study.task.smooth]].mean(axis=1).round(12)
    rows = rows.assign(reached=reached.where(rows["status"].eq("done"), -1.0)).dropna(subset="reached")
    chosen = pd.DataFrame([_choices(text) for text in rows["options"]], index=rows.index)
    rows = rows.join(chosen.add_prefix("options."))
    begun = records[records["phase"].eq("search").fillna(False)]  # a refused cell has no trial to number
    numbers = begun["trial"].str.extract(r"/(\d+)$", expand=False).astype("Int64")
    firsts = set(begun.loc[numbers.sort_values().index].groupby("cell")["trial"].first())
    parts = []
    for _, method in rows.groupby("method", sort=False):
        if len(searched(method)) > 1:
            method = method[~method["trial"].isin(firsts)]
        spread = method.groupby("cell")["reached"].transform("nunique")
        parts.append(method[spread > 1])
    found = pd.concat(parts) if parts else rows
    order = found["cell"].map({name: place for place, name in enumerate(found["cell"].unique())})
    return found.assign(order=order).sort_values(["order", "reached"], ascending=[True, False], kind="stable")


def searched(rows: pd.DataFrame) -> list[str]:
    """Columns of what a search chose in these trials: more than one value, and one in each."""
    named = [name for name in map(str, rows) if name in RATES or name.startswith("options.")]
    return [name for name in named if rows[name].notna().all() and rows[name].nunique() > 1]


def setting_word(name: str) -> str:
    """A column of `searched` in words."""
    return RATES.get(name, name.removeprefix("options."))


@lru_cache(maxsize=4)  # a page asks for it several times
def searched_settings(study: Study) -> pd.DataFrame:
    """A row a setting, for all networks of a method together (`third` is 0) and for each third of them by parameters,
    from 1.

    Columns of `SETTINGS_SCHEMA`: least and most parameters of the `networks`; how many `trials` were compared and are
    `best`; `importance` with its interval and `p` (`analysis.stats.importance`), missing where trials are too few;
    whether it is `told` from chance, of each third at a third of the level; where it is, the `low` and `high` rate of
    the best trials, or the `choice` that gains most among them; `edge`, whether these rates reach the `lower` or
    `higher` end of what was tried.
    """
    rows = [row for _, group in comparable(study).groupby("method", sort=False) for row in _method(study, group)]
    return pd.DataFrame(rows, columns=list(SETTINGS_SCHEMA)).astype(SETTINGS_SCHEMA)


def _method(study: Study, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of `searched_settings` about one method, from its `comparable` trials."""
    settings = searched(rows)
    for third, networks in enumerate(_groups(rows)):
        trials = rows[rows["backbone"].isin(networks)]
        known = {
            "method": rows["method"].iloc[0],
            "networks": len(networks),
            "least": trials["parameters"].min(),
            "most": trials["parameters"].max(),
            "third": third,
            "trials": len(trials),
        }
        if len(trials) >= FEWEST and searched(trials) == settings:
            yield from (known | measured for measured in _measured(study, trials, settings, third))
            continue
        yield from (known | {"setting": name} for name in settings)
        if third == 0:  # too few of all networks: fewer still of a third of them
            return


def _groups(rows: pd.DataFrame) -> list[list[str]]:
    """All networks of a method, and then, where there are three or more, each third of them by parameters."""
    networks = rows.drop_duplicates("backbone").sort_values("parameters", kind="stable")["backbone"].tolist()
    if len(networks) < 3:
        return [networks]
    ends = [len(networks) * third // 3 for third in range(4)]
    return [networks, *(networks[first:last] for first, last in pairwise(ends))]


def _measured(study: Study, trials: pd.DataFrame, settings: list[str], third: int) -> Iterator[dict[str, Any]]:
    """Importance of each setting in these trials, and what the best of them had where it is told from chance."""
    cells = trials["order"].to_numpy()
    values = {name: _values(trials[name]) for name in settings}
    rng = generator(study.name, trials["method"].iloc[0], third)
    best = trials.iloc[best_of(cells)]
    for name, found in importances(cells, values, rng).items():
        told = found.p <= (1 - LEVEL) / (3 if third else 1)  # each third at a third of the level
        measured: dict[str, Any] = {
            "setting": name,
            "best": len(best),
            "importance": found.value,
            "importance_low": found.low,
            "importance_high": found.high,
            "p": found.p,
            "told": told,
        }
        yield measured | (_recommended(name, trials[name], best[name]) if told else {})


def _recommended(name: str, tried: pd.Series, best: pd.Series) -> dict[str, Any]:
    """What the best trials had."""
    if name not in RATES:
        gain = best.value_counts(normalize=True) - tried.value_counts(normalize=True)
        return {"choice": gain.idxmax()}
    ends = np.log([tried.min(), tried.max()])
    low, high = np.quantile(np.log(best), [(1 - MIDDLE) / 2, (1 + MIDDLE) / 2])
    near = 0.05 * (ends[1] - ends[0])
    reaches = [word for word, gap in (("lower", low - ends[0]), ("higher", ends[1] - high)) if gap < near]
    return {"low": np.exp(low), "high": np.exp(high), "edge": reaches[0] if len(reaches) == 1 else None}


def _values(column: pd.Series) -> Values:
    if column.name in RATES:
        return Values.of_range(np.log(column.to_numpy(dtype=float)))
    codes, choices = pd.factorize(column)
    return Values(codes, len(choices), ordered=False)


def _choices(text: Any) -> dict[str, str]:
    """The options that a trial's search chose, each as JSON."""
    return {} if pd.isna(text) else {name: json.dumps(choice) for name, choice in json.loads(text).items()}
