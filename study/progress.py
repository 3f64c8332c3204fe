"""How a study is getting on: one line that updates in a terminal, plain lines elsewhere, and a table at the end."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from study.count_search import CountSearch
from study.grid import Cell
from study.ledger import Ledger
from study.plan import PlannedCell
from study.result import runs
from study.search import Search, StudySearcher
from study.suggest import objective

_PLAIN_SECONDS = 30.0
_RUN_COLUMNS = ("sensitivity", "specificity", "auc", "delta")


class ProgressLine:
    """``12/54 trials done, 2 running, 0 failed, best HM 0.91, about 6 min left``.

    Args:
        plan: for the seconds that a trial of a cell is expected to take, until one of its kind has finished.
    """

    def __init__(self, console: Console, name: str, plan: list[PlannedCell], ledger: Ledger, slots: int) -> None:
        self._console, self._name, self._ledger, self._slots = console, name, ledger, slots
        self._planned = {entry.cell.name: entry.seconds for entry in plan}
        self._live = Live(console=console, transient=True, refresh_per_second=4) if console.is_terminal else None
        self._last_plain = 0.0
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
        """Draw the line; without a terminal, at most every half minute."""
        if self._live:
            self._live.update(Text(self.text(), overflow="ellipsis", no_wrap=True))
        elif time.monotonic() - self._last_plain > _PLAIN_SECONDS:
            self._last_plain = time.monotonic()
            self._console.print(self.text(), highlight=False, soft_wrap=True)

    def text(self) -> str:
        """The line itself."""
        trials = [trial for group in self._ledger.trials.values() for trial in group]
        states = [trial.status for trial in trials]
        done, failed = sum(s in ("done", "diverged") for s in states), states.count("failed")
        running = len(self.searcher.running) if self.searcher else 0
        remaining = sum(cell.remaining for search in self.searches for cell in search.waiting)
        best = max((objective(trial.result)[0] for trial in trials if trial.result), default=0.0)
        parts = [f"{done}/{done + remaining} trials done", f"{running} running", f"{failed} failed"]
        if done:
            parts.append(f"best validation HM {best:.2f}")
        left = self._seconds_left()
        if left is not None:
            parts.append(f"about {duration(left)} left")
        return f"{self._name}: {', '.join(parts)}"

    def _seconds_left(self) -> float | None:
        measured: dict[str, list[float]] = defaultdict(list)
        for cell, group in self._ledger.trials.items():
            measured[cell] += [t.result["seconds"] for t in group if t.result and t.result.get("seconds")]
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
        """Called by Tune after every ``tune.report``."""
        self._line.advanced(trial.config["folder"], result["step"] / result["steps"])

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
    table = Table(box=None, pad_edge=False, caption=note, caption_justify="left")
    for title in ("backbone", "method", "images", "test HM", "Sen", "Spe", "AUC", "delta", "trials"):
        table.add_column(title, justify="left" if title in ("backbone", "method") else "right")
    folded: dict[Cell, list[Cell]] = defaultdict(list)
    for entry in plan:
        folded[replace(entry.cell, fold=None)].append(entry.cell)
    for cell, folds in folded.items():
        trials = [trial for fold in folds for trial in ledger.trials.get(fold.name, [])]
        confirmed = [t for t in trials if t.config["phase"] == "confirm" and t.result and t.result.get("test")]
        measured = runs(confirmed, len(folds))
        counts: dict[str, int] = defaultdict(int)
        for trial in trials:
            counts[trial.status] += 1
        other = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()) if status != "done")
        table.add_row(
            cell.backbone,
            cell.method,
            "all patches" if cell.images is None else str(cell.images),
            _spread([run.hm for run in measured]),
            *(
                _mean([getattr(run, name) for run in measured])
                for name in ("sensitivity", "specificity", "auc", "delta")
            ),
            "not needed" if cell.counted and not trials else f"{counts['done']} done" + (f", {other}" if other else ""),
        )
    return table


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
