"""Facets for the page's filters: the axes of the study's grid.

Every figure gives each of its points a key (in the trace's `meta`): the point's values on these axes, in this order.
The page keeps a point where every axis that is narrowed down has its value among the chosen ones, or has none: a point
about all image counts stays whichever of them are chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.text.words import MISSING
from ledger.schema import AXES

FACETS = {name: axis.filter for name, axis in AXES.items() if axis.filter is not None}
_BETWEEN = "\x1f"  # the unit separator: in no name that a person would type


def facet_keys(rows: pd.DataFrame) -> list[str]:
    """The key of every row: its values on the axes of `FACETS`.

    A value is empty where `rows` has no such column, or the row nothing in it: the point then stays whatever is chosen.
    Where having none is a choice like any other, the key has the word for it (`Axis.none`).
    """
    columns = [
        [_word(value, AXES[name].none) for value in rows[name]] if name in rows else [""] * len(rows) for name in FACETS
    ]
    return [_BETWEEN.join(values) for values in zip(*columns, strict=True)]


def keyed(rows: pd.DataFrame, each: int = 1) -> dict[str, list[str]]:
    """The `meta` of a trace that draws every row with `each` so many points."""
    return {"keys": [key for key in facet_keys(rows) for _ in range(each)]}


def facet_values(key: str) -> list[str]:
    """The values of a key, one for each of `FACETS`; empty where it is open."""
    return key.split(_BETWEEN)


def choices(keys: Iterable[str]) -> dict[str, list[str]]:
    """The axes along which `keys` differ, with the values they have there: numbers by size, names as they come."""
    columns = zip(*map(facet_values, dict.fromkeys(keys)), strict=True)
    found = {name: list(dict.fromkeys(filter(None, column))) for name, column in zip(FACETS, columns, strict=False)}
    return {name: _sorted(values) for name, values in found.items() if len(values) > 1}


def _word(value: object, missing: str) -> str:
    """A value as the filter shows it: a float without trailing zeros, `missing` for what is not there."""
    if str(value) in MISSING:
        return missing
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sorted(values: Sequence[str]) -> list[str]:
    if all(value.isdecimal() for value in values):
        return sorted(values, key=int)
    return list(values)
