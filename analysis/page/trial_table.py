"""Table of all trials in columns compact enough for ten thousand: each word once, numbers rounded."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ledger.schema import SCHEMA

CAPTION = "The same rows are in records.csv; columns without a value are left out here."
STAGED = "Trials with a stage train on that collection, to be where others start: their scores are of its patients."


def trial_table(records: pd.DataFrame) -> dict[str, Any]:
    """`columns`: a list of {heading, words, whole, values}. Where `words` is a list, `values` are places in it; `whole`
    marks integers; a missing value is None."""
    # `cell` is the trial's name without its number; nothing else that has a value is left out.
    shown = [name for name in SCHEMA if name != "cell" and records[name].notna().any()]
    return {"columns": [_column(name, records[name]) for name in shown]}


def _column(name: str, values: pd.Series) -> dict[str, Any]:
    known = {"heading": name.replace("_", " "), "words": None, "whole": SCHEMA[name] == "Int64"}
    if SCHEMA[name] in ("string", "boolean"):
        codes, words = pd.factorize(values.astype("string"))
        return known | {"words": [str(word) for word in words], "values": [int(c) if c >= 0 else None for c in codes]}
    if known["whole"]:
        return known | {"values": [None if pd.isna(value) else int(value) for value in values]}
    return known | {"values": [None if pd.isna(value) else float(f"{value:.5g}") for value in values]}
