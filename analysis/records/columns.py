"""Columns of the table of trials: whatever a file says, converted to its column's type or missing."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pandas as pd

from ledger.schema import SCHEMA

COUNTS = ("parameters", "images")
"""Columns whose values are one or more."""


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a frame with the columns and types of `SCHEMA`; a key for each column is in every row."""
    convert = {"Int64": _integer, "float64": number, "string": _text, "boolean": _truth}
    for row, name in itertools.product(rows, COUNTS):
        row[name] = count(row[name])
    return pd.DataFrame(
        {name: pd.Series([convert[dtype](row[name]) for row in rows], dtype=dtype) for name, dtype in SCHEMA.items()},
        columns=list(SCHEMA),
    )


def _integer(value: Any) -> int | None:
    """An integer that fits the column; never through a float, which would round a 64-bit seed."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None


def count(value: Any) -> int | None:
    """A number of images or parameters, one or more; None for anything else, as where a file is damaged."""
    found = None if isinstance(value, bool) else _integer(value)
    return found if found is not None and found > 0 else None


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def number(value: Any) -> float:
    """A finite number as a float; NaN for anything else."""
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan
    except OverflowError:  # an integer of hundreds of digits
        return math.nan


def _text(value: Any) -> str | None:
    """One line of valid Unicode."""
    if value is None:
        return None
    return " ".join(str(value).encode("utf-8", "backslashreplace").decode("utf-8").split())
