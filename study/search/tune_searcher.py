"""Ray Tune searcher for the whole study: cells take turns, and unfinished trials come first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ray.tune.search import Searcher

from ledger.ledger import Ledger
from ledger.storage import no_room
from ledger.trial import Trial
from study.search.cell_search import CellSearch


class Search(Protocol):
    """Protocol of what proposes trials: a cell's search, or the search over a setting's image counts."""

    @property
    def finished(self) -> bool:
        """True once nothing is left to run."""
        ...

    @property
    def interrupted(self) -> bool:
        """True where an earlier start left a trial unfinished."""
        ...

    @property
    def waiting(self) -> list[CellSearch]:
        """The cells that have trials left to run."""
        ...

    @property
    def may_grow(self) -> bool:
        """Whether results may ask for trials of other cells."""
        ...

    def next(self, *, new: bool = True) -> Trial | None:
        """The next trial to start, or None where there is none at the moment; not ``new``: of those begun before."""
        ...

    def ended(self, trial: Trial, *, given_up: bool) -> None:
        """Take note that a trial no longer runs."""
        ...


class StudySearcher(Searcher):
    """Hands Ray Tune the next trial of the study: cells take turns, unfinished trials first.

    Args:
        searches: one a cell, or a setting whose image counts are searched.
        ledger: the study's.
        needs: the CPUs and GPUs that a trial is to have, by those names; its worker is told.
        on_change: called after a trial has started or ended.
        may_begin: asked before a trial begins; those that were begun before go on in any case.
        on_pause: told, in words, when a full disk keeps trials from beginning.
    """

    def __init__(
        self,
        searches: Sequence[Search],
        ledger: Ledger,
        needs: Callable[[Trial], dict[str, float]] = lambda _: {},
        on_change: Callable[[], None] = lambda: None,
        may_begin: Callable[[], bool] = lambda: True,
        on_pause: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__()  # what a trial is worth is read from the ledger, not from its reports
        # What an earlier start left unfinished comes first; the sort is stable, so cells keep their order otherwise.
        self._open = deque(sorted(searches, key=lambda search: not search.interrupted))
        self._ledger, self._needs, self._may_begin = ledger, needs, may_begin
        self._on_change, self._on_pause = on_change, on_pause
        self.running: dict[str, tuple[Search, Trial]] = {}
        self.stopping = self.paused = False
        # Whether new trials were allowed at the last look that found none to start; None once a trial has ended since.
        self._in_vain: bool | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The configuration of the next trial; None while all that is left waits for a running one."""
        if self.stopping or self._ledger.lost:
            return Searcher.FINISHED
        try:
            return self._next(trial_id)
        except OSError as error:
            if not no_room(error):
                raise
            self.pause()
            return None

    def pause(self) -> None:
        """Report a full disk, once until a trial begins."""
        if not self.paused:
            self.paused = True
            self._on_pause(f"no room left in {self._ledger.folder}: trials wait until there is some; nothing is lost")

    def _next(self, trial_id: str) -> dict[str, Any] | str | None:
        new = self._may_begin()
        if self.running and self._in_vain is new:
            return None  # Tune asks at every report of a trial; only one that ends lets those that wait go on
        for _ in range(len(self._open)):
            search = self._open[0]
            trial = search.next(new=new)
            if trial is None and search.finished:
                self._open.popleft()  # of thousands of cells, only those that are open are asked
                continue
            self._open.rotate(-1)
            if trial is not None:
                self.paused = False
                self.running[trial_id] = (search, trial)
                self._on_change()
                return {"folder": str(trial.folder), **self._needs(trial), **trial.config}
        self._in_vain = new
        # Without new trials, one that was begun before may still wait for a running one of its cell.
        waits = self._open if new else self.running
        return None if waits else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Read what the trial left in the ledger; one that left nothing after its last retry has failed."""
        search, trial = self.running.pop(trial_id)
        self._in_vain = None
        with suppress(OSError):  # a full disk, a store out of reach: it counts as unfinished, for the next start
            self._ledger.refresh(trial)
            if trial.result is None and not self.stopping and not self._ledger.lost:
                self._ledger.fail(trial, (result or {}).get("failed"))
        search.ended(trial, given_up=not self.stopping)
        self._on_change()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher to restore it later; the ledger does that here."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
