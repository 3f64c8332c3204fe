"""A small ledger that holds a cell for every row the papers print."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.published import results
from tests.analysis.conftest import Ledger

TRAINING: dict[str, Any] = {"method": "train", "label_init": None, "distill_steps": None, "distill_epochs": None}
CMS = {
    "CM1": {"start": "xavier", "train_classes": "INP", "train_view": "patches"},
    "CM2": {"start": "pretrained", "train_classes": "NP", "train_view": "patches"},
    "CM3": {"start": "xavier", "train_classes": "NP", "train_view": "patches"},
    "CM4": {"start": "pretrained", "train_classes": "NP", "train_view": "whole"},
    "CM5": {"start": "pretrained", "train_classes": "INP", "train_view": "patches"},
}


def facts(row: pd.Series, divisor: str = "", images: int | None = None) -> dict[str, Any]:
    """What `study.yaml` says of the cell that `row` (of `published.results`) was measured on."""
    shared = {"backbone": f"paper/{row['backbone']}{divisor}", "norm": {"bn": "batch", "no_bn": "none"}[row["norm"]]}
    if row["method"] == "subset":
        few = {"train_patches": images or int(row["train_images"]) // 3, "train_classes": "INP"}
        return shared | TRAINING | few | {"train_view": "patches", "start": "xavier", "images": None}
    if row["method"] in CMS:
        return shared | TRAINING | CMS[row["method"]] | {"images": None}
    steps = {name: int(row[name]) for name in ("images", "distill_steps", "distill_epochs")}
    return shared | steps | {"method": row["method"].lower(), "label_init": "one_hot", "start": "xavier"}


def named(facts: dict[str, Any]) -> str:
    """A name of its own for each cell."""
    return "-".join(str(value).replace("/", "=") for value in facts.values() if value is not None)


def papers_study(ledger: Ledger, divisor: str = "") -> dict[str, str]:
    """Write a confirmed cell for every published row, its HM the published one; cell -> the row's label.

    Tables share some of their rows, and so some of their cells.
    """
    written: dict[str, str] = {}
    for _, row in results().iterrows():
        known = facts(row, divisor)
        cell = named(known)
        if cell not in written:
            ledger.cell(parameters=1000, cell=cell, **known)
            ledger.done(cell, 0, hm=row["hm"])
            written[cell] = row["row"]
    return written
