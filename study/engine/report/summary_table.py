"""Summary table for the terminal: a row a cell, and the trials that searching image counts saved."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.table import Table

from analysis.records.idle import idle_rates
from analysis.text.words import duration
from ledger.ledger import Ledger
from ledger.schema import AXES
from ledger.trial import Trial
from study.config.schema import StudyConfig
from study.config.search_settings import SearchSettings
from study.config.tasks import TASKS
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.planning.plan import PlannedCell
from study.search.count_search import CountSearch
from study.search.tune_searcher import Search


def end_table(plan: list[PlannedCell], ledger: Ledger, note: str | None = None) -> Table:
    """One row a cell, its folds together: test scores over the seeds of confirm trials, and what became of the rest.

    Args:
        note: stands under the table.
    """
    folded = _folded(plan)
    settings = _settings(list(folded))
    words = ("backbone", "method", "setting") if any(settings.values()) else ("backbone", "method")
    table = Table(box=None, pad_edge=False, caption=note, caption_justify="left")
    asked = (TrialSpec.of(trial) for group in ledger.trials.values() for trial in group)
    task = TASKS[next((spec.task for spec in asked), StudyConfig.task)]
    for title in (*words, "images", *task.columns([], 1), "trials"):
        table.add_column(title, justify="left" if title in words else "right")
    for cell, folds in folded.items():
        trials = [trial for entry in folds for trial in ledger.trials.get(entry.cell.name, [])]
        confirmed = [t for t in trials if t.phase == "confirm" and t.result and t.result.get("test")]
        table.add_row(
            cell.backbone,
            cell.method,
            *([settings[cell]] if "setting" in words else []),
            _images(cell, task.results.pictures),
            *task.columns(confirmed, len(folds)).values(),
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


def _folded(plan: list[PlannedCell]) -> dict[Cell, list[PlannedCell]]:
    """The folds of every cell."""
    folded: dict[Cell, list[PlannedCell]] = defaultdict(list)
    for entry in plan:
        folded[replace(entry.cell, fold=None)].append(entry)
    return folded


def _settings(cells: list[Cell]) -> dict[Cell, str]:
    """Settings in which cells differ, in a few words for each cell."""
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


def _images(cell: Cell, pictures: str) -> str:
    if cell.images is not None:
        return str(cell.images)
    if cell.train_view == "whole":
        return f"whole {pictures}"
    return "all patches" if cell.train_patches is None else f"{cell.train_patches:,} patches a class"


def _became(cell: Cell, folds: list[PlannedCell], trials: list[Trial]) -> str:
    if not trials:
        refused = any(entry.refused for entry in folds)
        return "refused" if refused else "not needed" if cell.counted else "not run"
    counts = Counter(trial.status for trial in trials)
    other = [f"{count} {status}" for status, count in sorted(counts.items()) if status != "done"]
    return ", ".join([f"{counts['done']} done", *other])


def spared(searches: Sequence[Search], settings: SearchSettings) -> str | None:
    """What searching image counts saved, in words; None where none were searched.

    Where core seconds end a cell's search, its trials are as many as these buy: of a cell that did not run, nobody
    knows how many.
    """
    counted = [search for search in searches if isinstance(search, CountSearch)]
    if not counted:
        return None
    cells = sum(len(search.spared) for search in counted)
    if settings.core_seconds is not None:
        return f"searching image counts spared {cells} cells of the full grid"
    trials = sum(search.spared_trials for search in counted)
    seconds = sum(search.spared_trials * search.seconds for search in counted)
    return (
        f"searching image counts spared {cells} cells and {trials} trials of the full grid, "
        f"about {duration(seconds)} of trial time at what their like took"
    )
