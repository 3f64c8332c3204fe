"""Progress line of a study: it updates in a terminal, and is plain lines elsewhere.

Under CI (the variable that GitHub, GitLab and others set) there is none: nobody watches, and logs are read.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from typing import Any, get_args

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.text import Text

from analysis.text.words import duration
from ledger.ledger import Ledger
from ledger.trial import Trial
from study.config.tasks import TASKS
from study.grid.spec import Phase, TrialSpec
from study.planning.plan import PlannedCell
from study.search.tune_searcher import Search, StudySearcher

_PLAIN_SECONDS = 30.0
_LIVE_SECONDS = 0.2


class ProgressLine:
    """``12/54 trials done, 2 running, 0 failed, best HM 0.91, about 6 min left``.

    A trial runs once it has a worker; those that wait for one (for a share of a GPU, or a machine) are counted apart.

    Args:
        plan: for the seconds that a trial of a cell is expected to take, until one of its kind has finished.
    """

    def __init__(self, console: Console, name: str, plan: list[PlannedCell], ledger: Ledger, slots: int) -> None:
        self._console, self._name, self._ledger, self._slots = console, name, ledger, slots
        self._planned = {entry.cell.name: entry for entry in plan}
        self._live = Live(console=console, transient=True, refresh_per_second=4) if console.is_terminal else None
        self._quiet = self._live is None and bool(os.environ.get("CI"))
        self._shown = -math.inf
        self._scores: dict[str, float] = {}
        self._shares: dict[str, float] = {}
        self._placed: set[str] = set()
        self.searcher: StudySearcher | None = None
        self.searches: list[Search] = []

    def __enter__(self) -> ProgressLine:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def placed(self, folder: str, there: bool) -> None:
        """A trial has got a worker, or has lost it."""
        if there:
            self._placed.add(folder)
        else:
            self._placed.discard(folder)
        self.show()

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
        begun = [str(trial.folder) for _, trial in self.searcher.running.values()] if self.searcher else []
        running = sum(folder in self._placed for folder in begun)
        remaining = sum(cell.state.remaining for search in self.searches for cell in search.waiting)
        grows = any(search.may_grow for search in self.searches)  # which image counts are searched hangs on results
        more = " or more" if grows else ""
        parts = [f"{done}/{done + remaining}{more} trials done", f"{running} running", f"{failed} failed"]
        if len(begun) > running:
            parts.insert(2, f"{len(begun) - running} waiting")
        best = self._best(trials)
        if best is not None:
            parts.append(best)
        left = self._seconds_left()
        if left is not None:
            parts.append(f"{'at least' if grows else 'about'} {duration(left)} left")
        return f"{self._name}: {', '.join(parts)}"

    def _best(self, trials: list[Trial]) -> str | None:
        """The best score of the trials that are done, in words; those on other collections do not count."""
        for trial in trials:
            if trial.status == "done" and trial.name not in self._scores:
                spec = TrialSpec.of(trial)
                if spec.cell.stage is None:
                    validation = (trial.result or {}).get("validation") or {}
                    self._scores[trial.name] = TASKS[spec.task].main_score(validation)
        if not self._scores:
            return None
        spec = TrialSpec.of(trials[0])  # a study's protocol and task are those of each of its trials
        group = "test" if spec.protocol == "paper" else "validation"
        return f"best {group} {TASKS[spec.task].results.word} {max(self._scores.values()):.2f}"

    def _seconds_left(self) -> float | None:
        measured: dict[tuple[str, str], list[float]] = defaultdict(list)
        for cell, group in self._ledger.trials.items():
            for trial in group:
                if trial.seconds:
                    measured[cell, trial.phase].append(trial.seconds)
        overall = [seconds for group in measured.values() for seconds in group]

        def each(cell: str, phase: str) -> float | None:
            """What a trial takes: those of searches may end early, and confirm trials train fresh starts."""
            if known := measured.get((cell, phase)):
                return sum(known) / len(known)
            entry = self._planned.get(cell)
            fresh = entry.fresh_seconds if entry is not None and phase == "confirm" else 0.0
            if searched := measured.get((cell, "search")):
                return max(searched) + fresh
            if entry is not None and entry.seconds is not None:
                return entry.seconds + fresh
            return sum(overall) / len(overall) if overall else None

        total = 0.0
        for waiting in [cell for search in self.searches for cell in search.waiting]:
            for phase in get_args(Phase):
                remaining, seconds = waiting.state.remaining_of(phase), each(waiting.cell.name, phase)
                if remaining and seconds is None:
                    return None
                total += remaining * (seconds or 0.0)
        for _, trial in self.searcher.running.values() if self.searcher else ():
            total -= self._shares.get(str(trial.folder), 0.0) * (each(trial.cell, trial.phase) or 0.0)
        return max(0.0, total) / self._slots


class TuneReports(Callback):
    """Tune callback: passes reports of running trials to the progress line."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._waiting: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Called by Tune once a trial has a worker."""
        self._line.placed(trial.config["folder"], True)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Called by Tune after every step of a worker."""
        reason = result.get("waiting")
        if reason is None:
            self._line.advanced(trial.config["folder"], result["step"] / result["steps"])
        elif reason not in self._waiting:
            self._waiting.add(reason)
            self._line.say(f"{reason}: its trials wait; mount the folder there, or take the machine out of the cluster")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Called by Tune before it starts a trial again."""
        self._line.placed(trial.config["folder"], False)
        self._line.say(f"{trial.config['trial']} lost its worker, or failed; it goes on from its last checkpoint")

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; a terminal cannot be."""
        return {}
