"""What a study has found, in the terminal: a row a cell, and what searching image counts spared."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from analysis.records.idle import idle_rates
from ledger.ledger import Ledger, Trial
from ledger.schema import AXES
from study.grid.axes import Cell
from study.planning.plan import PlannedCell
from study.report.progress import duration
from study.search.count_search import CountSearch
from study.search.tune_searcher import Search
from study.trial.result import film_aucs, runs
from study.trial.spec import TrialSpec


def end_table(plan: list[PlannedCell], ledger: Ledger, note: str | None = None) -> Table:
    """One row a cell, its folds together: test HM over the seeds of the confirm trials, and what became of the rest.

    Args:
        note: stands under the table.
    """
    if any(TrialSpec.of(trial).task == "multilabel" for group in ledger.trials.values() for trial in group):
        return _findings_table(plan, ledger, note)
    folded = _folded(plan)
    settings = _settings(list(folded))
    table, words = _table(settings, note, "images", "test HM", "Sen", "Spe", "AUC", "delta", "trials")
    for cell, folds in folded.items():
        trials = [trial for entry in folds for trial in ledger.trials.get(entry.cell.name, [])]
        confirmed = [t for t in trials if t.phase == "confirm" and t.result and t.result.get("test")]
        measured = runs(confirmed, len(folds))
        table.add_row(
            cell.backbone,
            cell.method,
            *([settings[cell]] if "setting" in words else []),
            _images(cell),
            _spread([run.hm for run in measured]),
            _mean([run.sensitivity for run in measured]),
            _mean([run.specificity for run in measured]),
            _mean([None if math.isnan(run.auc) else run.auc for run in measured]),
            _mean([(trial.result or {})["delta"] for trial in confirmed]),
            _became(cell, folds, trials),
        )
    return table


def without_effect(ledger: Ledger) -> str | None:
    """A line where confirm trials learned rates at which their images change nothing."""
    done = [trial for group in ledger.trials.values() for trial in group if trial.phase == "confirm"]
    idle = [trial.name for trial in done if idle_rates((trial.result or {}).get("rates"))]
    if not idle:
        return None
    return f"inner rates fell to nothing in {len(idle)} confirm trials ({idle[0]}): their images change nothing"


def _findings_table(plan: list[PlannedCell], ledger: Ledger, note: str | None) -> Table:
    """The same of films with findings: means over them, and over the seeds."""
    folded = _folded(plan)
    settings = _settings(list(folded))
    scores = ("test AUC", "average precision", "Hamming loss", "classes")
    table, words = _table(settings, note, "images", *scores, "trials")
    for cell, folds in folded.items():
        trials = [trial for entry in folds for trial in ledger.trials.get(entry.cell.name, [])]
        confirmed = [t for t in trials if t.phase == "confirm" and t.result and t.result.get("test")]
        tested = [(trial.result or {})["test"] for trial in confirmed]
        aucs = film_aucs(confirmed, len(folds))
        table.add_row(
            cell.backbone,
            cell.method,
            *([settings[cell]] if "setting" in words else []),
            _images(cell),
            _spread([None if math.isnan(auc) else auc for auc in aucs]),
            _mean([test["average_precision"] for test in tested]),
            _mean([test["hamming_loss"] for test in tested]),
            "-" if not tested else str(min(test["defined_classes"] for test in tested)),
            _became(cell, folds, trials),
        )
    return table


def _folded(plan: list[PlannedCell]) -> dict[Cell, list[PlannedCell]]:
    """The folds of every cell."""
    folded: dict[Cell, list[PlannedCell]] = defaultdict(list)
    for entry in plan:
        folded[replace(entry.cell, fold=None)].append(entry)
    return folded


def _table(settings: dict[Cell, str], note: str | None, *numbers: str) -> tuple[Table, tuple[str, ...]]:
    """An empty table, and its columns of words, a setting among them where cells differ in one."""
    words = ("backbone", "method", "setting") if any(settings.values()) else ("backbone", "method")
    table = Table(box=None, pad_edge=False, caption=note, caption_justify="left")
    for title in (*words, *numbers):
        table.add_column(title, justify="left" if title in words else "right")
    return table, words


def _settings(cells: list[Cell]) -> dict[Cell, str]:
    """What of each cell's setting is not the same in all cells that have it, in a few words."""
    found: dict[Cell, list[str]] = {cell: [] for cell in cells}
    for name, axis in AXES.items():
        values = {getattr(cell, name) for cell in cells}
        # Of an axis that every cell has, none is a value like any other.
        if axis.short is not None and len(values if axis.of == "all" else values - {None}) > 1:
            for cell in cells:
                value = getattr(cell, name)
                if name == "chain":
                    value = " and ".join(value)
                if value not in (None, "INP", ""):
                    found[cell].append(axis.short.format(Path(value).stem if name == "start" else value))
    return {cell: ", ".join(parts) for cell, parts in found.items()}


def _images(cell: Cell) -> str:
    if cell.images is not None:
        return str(cell.images)
    if cell.train_view == "whole":
        return "whole films"
    return "all patches" if cell.train_patches is None else f"{cell.train_patches:,} patches a class"


def _became(cell: Cell, folds: list[PlannedCell], trials: list[Trial]) -> str:
    if not trials:
        refused = any(entry.refused for entry in folds)
        return "refused" if refused else "not needed" if cell.counted else "not run"
    counts = Counter(trial.status for trial in trials)
    other = [f"{count} {status}" for status, count in sorted(counts.items()) if status != "done"]
    return ", ".join([f"{counts['done']} done", *other])


def spared(searches: Sequence[Search]) -> str | None:
    """What searching image counts spared against running them all; None where none were searched."""
    counted = [search for search in searches if isinstance(search, CountSearch)]
    if not counted:
        return None
    cells = sum(len(search.spared) for search in counted)
    trials = sum(search.spared_trials for search in counted)
    seconds = sum(search.spared_trials * search.seconds for search in counted)
    return (
        f"searching image counts spared {cells} cells and {trials} trials of the full grid, "
        f"about {duration(seconds)} of trial time at what their like took"
    )


def _mean(values: list[Any]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.2f}" if known else "-"


def _spread(values: list[Any]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return _mean(known)
    return f"{_mean(known)} ({min(known):.2f} to {max(known):.2f})"
