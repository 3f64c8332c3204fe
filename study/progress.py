"""How a study is getting on: one line that updates in a terminal, plain lines elsewhere, and a table at the end.

Under CI (the variable that GitHub, GitLab and others set) there is the table alone: nobody watches, and logs are read.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from study.count_search import CountSearch
from study.grid import Cell
from study.ledger import Ledger, Trial
from study.plan import PlannedCell
from study.result import film_aucs, runs
from study.search import Search, StudySearcher
from study.suggest import objective

_PLAIN_SECONDS = 30.0
_LIVE_SECONDS = 0.2


class ProgressLine:
    """``12/54 trials done, 2 running, 0 failed, best HM 0.91, about 6 min left``.

    Args:
        plan: for the seconds that a trial of a cell is expected to take, until one of its kind has finished.
    """

    def __init__(self, console: Console, name: str, plan: list[PlannedCell], ledger: Ledger, slots: int) -> None:
        self._console, self._name, self._ledger, self._slots = console, name, ledger, slots
        self._planned = {entry.cell.name: entry.seconds for entry in plan}
        self._live = Live(console=console, transient=True, refresh_per_second=4) if console.is_terminal else None
        self._quiet = self._live is None and bool(os.environ.get("CI"))
        self._shown = -math.inf
        self._hms: dict[str, float] = {}
        self._shares: dict[str, float] = {}
        self.searcher: StudySearcher | None = None
        self.searches: list[Search] = []

    def __enter__(self) -> ProgressLine:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def advanced(self, folder: str, share: float) -> None:
        """A running trial has done this share of its outer steps."""
        self._shares[folder] = share
        self.show()

    def show(self) -> None:
        """Draw the line; without a terminal, at most every half minute, and under CI not at all."""
        if self._quiet:
            return
        now = time.monotonic()
        if now - self._shown < (_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
            return  # with thousands of trials, counting them for every change would take longer than the changes
        self._shown = now
        if self._live:
            self._live.update(Text(self.text(), overflow="ellipsis", no_wrap=True))
        else:
            self._console.print(self.text(), highlight=False, soft_wrap=True)

    def say(self, words: str) -> None:
        """Print something above the line."""
        self._console.print(words, highlight=False, soft_wrap=True)

    def text(self) -> str:
        """The line itself."""
        trials = [trial for group in self._ledger.trials.values() for trial in group]
        states = [trial.status for trial in trials]
        done, failed = sum(s in ("done", "diverged") for s in states), states.count("failed")
        running = len(self.searcher.running) if self.searcher else 0
        remaining = sum(cell.remaining for search in self.searches for cell in search.waiting)
        for trial in trials:
            if trial.status == "done" and trial.config["trial"] not in self._hms and not trial.config.get("stage"):
                self._hms[trial.config["trial"]] = objective(trial.result or {})[0]
        best = max(self._hms.values(), default=0.0)
        parts = [f"{done}/{done + remaining} trials done", f"{running} running", f"{failed} failed"]
        if self._hms:
            paper = any(trial.config.get("protocol") == "paper" for trial in trials)
            findings = any(trial.config.get("task") == "multilabel" for trial in trials)
            parts.append(f"best {'test' if paper else 'validation'} {'AUC' if findings else 'HM'} {best:.2f}")
        left = self._seconds_left()
        if left is not None:
            parts.append(f"about {duration(left)} left")
        return f"{self._name}: {', '.join(parts)}"

    def _seconds_left(self) -> float | None:
        measured: dict[str, list[float]] = defaultdict(list)
        for cell, group in self._ledger.trials.items():
            measured[cell] += [trial.seconds for trial in group if trial.seconds]
        overall = [seconds for group in measured.values() for seconds in group]
        total = 0.0
        for waiting in [cell for search in self.searches for cell in search.waiting]:
            name = waiting.cell.name
            planned = self._planned.get(name)
            known = measured[name] or ([planned] if planned else overall)
            if not known:
                return None
            total += waiting.remaining * sum(known) / len(known)
        for _, trial in self.searcher.running.values() if self.searcher else ():
            known = measured[trial.cell]
            total -= self._shares.get(str(trial.folder), 0.0) * (sum(known) / len(known) if known else 0.0)
        return max(0.0, total) / self._slots


class TuneReports(Callback):
    """Passes on to the line what running trials report."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Called by Tune after every step of a worker."""
        self._line.advanced(trial.config["folder"], result["step"] / result["steps"])

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Called by Tune before it starts a trial again."""
        self._line.say(f"{trial.config['trial']} lost its worker, or failed; it goes on from its last checkpoint")

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; a terminal cannot be."""
        return {}


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def plan_table(plan: list[PlannedCell]) -> Table:
    """Cells with their parameter counts and expected seconds a trial."""
    table = Table(box=None, pad_edge=False)
    for title, justify in (("cell", "left"), ("parameters", "right"), ("a trial", "right")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for entry in plan:
        parameters = "" if entry.parameters is None else f"{entry.parameters:,}"
        seconds = "" if entry.seconds is None else duration(entry.seconds)
        table.add_row(entry.cell.name, parameters, "refused" if entry.refused else seconds)
    return table


def end_table(plan: list[PlannedCell], ledger: Ledger, note: str | None = None) -> Table:
    """One row a cell, its folds together: test HM over the seeds of the confirm trials, and what became of the rest.

    Args:
        note: stands under the table.
    """
    if any(trial.config.get("task") == "multilabel" for group in ledger.trials.values() for trial in group):
        return _findings_table(plan, ledger, note)
    folded = _folded(plan)
    settings = _settings(list(folded))
    table, words = _table(settings, note, "images", "test HM", "Sen", "Spe", "AUC", "delta", "trials")
    for cell, folds in folded.items():
        trials = [trial for entry in folds for trial in ledger.trials.get(entry.cell.name, [])]
        confirmed = [t for t in trials if t.config["phase"] == "confirm" and t.result and t.result.get("test")]
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


def _findings_table(plan: list[PlannedCell], ledger: Ledger, note: str | None) -> Table:
    """The same of films with findings: means over them, and over the seeds."""
    folded = _folded(plan)
    settings = _settings(list(folded))
    scores = ("test AUC", "average precision", "Hamming loss", "classes")
    table, words = _table(settings, note, "images", *scores, "trials")
    for cell, folds in folded.items():
        trials = [trial for entry in folds for trial in ledger.trials.get(entry.cell.name, [])]
        confirmed = [t for t in trials if t.config["phase"] == "confirm" and t.result and t.result.get("test")]
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
    words = {
        "norm": "norm {}",
        "label_init": "labels {}",
        "start": "{}",
        "distill_steps": "S = {}",
        "distill_epochs": "E = {}",
        "train_classes": "{} only",
        "epochs": "{} epochs",
        "transfer": "{}",
        "chain": "after {}",
        "stage": "on {}",
    }
    common = ("epochs", "transfer", "chain", "stage")  # of which none is a value like any other
    found: dict[Cell, list[str]] = {cell: [] for cell in cells}
    for name, spelled in words.items():
        if len({getattr(cell, name) for cell in cells} - (set() if name in common else {None})) > 1:
            for cell in cells:
                value = getattr(cell, name)
                if name == "chain":
                    value = " and ".join(value)
                if value not in (None, "INP", ""):
                    found[cell].append(spelled.format(Path(value).stem if name == "start" else value))
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
