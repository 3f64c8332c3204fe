"""Expected scores over the rates of each cell, by the shared model, for the page: ``landscape.json`` of a study."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from optuna.distributions import FloatDistribution

from ledger.storage import Folder, write_whole
from ledger.trial_files import LANDSCAPE
from study.config.methods.base import Space
from study.grid.axes import Cell
from study.search.sampler import middle
from study.search.shared_model import SharedModel

RATES = ("outer_lr", "inner_lr")
SIDE = 17
"""Points of a rate's range, its middle among them."""


def write_landscapes(folder: Folder, cells: Iterable[tuple[Cell, Space, SharedModel]]) -> None:
    """Write what their models expect in cells that have search trials; a file of an earlier start is replaced.

    The file is ``{"cells": {NAME: {"outer_lr": [...], "inner_lr": [...], "score": [[...], ...]}}}``: a row of scores an
    inner rate, a column an outer one. A cell with one rate, or none of its own trials, is left out.
    """
    found = {cell.name: landscape(model, cell, space) for cell, space, model in cells}
    known = {name: each for name, each in found.items() if each is not None}
    if known:
        write_whole(folder / LANDSCAPE, json.dumps({"cells": known}).encode())


def landscape(model: SharedModel, cell: Cell, space: Space) -> dict[str, Any] | None:
    """Rates, and the scores that the model expects there; searched options of ``distill`` are each the first.

    None where the cell has one rate, or the model nothing to say of it.
    """
    ranges = [space.get(name) for name in RATES]
    if model.best(cell, space) is None or not all(isinstance(each, FloatDistribution) for each in ranges):
        return None
    outer, inner = map(_spread, ranges)
    settings = [middle(space) | {"outer_lr": across, "inner_lr": up} for up in inner for across in outer]
    scores = [round(score, 4) for score in model.expected(cell, space, settings)]
    rows = [scores[start : start + SIDE] for start in range(0, len(scores), SIDE)]
    return {"outer_lr": outer, "inner_lr": inner, "score": rows}


def _spread(rates: Any) -> Sequence[float]:
    low, high = math.log(rates.low), math.log(rates.high)
    return [min(max(math.exp(low + (high - low) * i / (SIDE - 1)), rates.low), rates.high) for i in range(SIDE)]
