"""Signal handler and Tune callbacks that end or pause a run: Ctrl-C, a spent budget, a full disk."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ray.tune import Callback
from rich.console import Console

from ledger.ledger import Ledger
from ledger.storage import write_whole
from study.planning.budget import Budget
from study.search.tune_searcher import StudySearcher


@contextmanager
def stopping(searcher: StudySearcher, ledger: Ledger, console: Console) -> Iterator[list[int]]:
    """On Ctrl-C or SIGTERM, start nothing more and let running trials checkpoint; the second time, give up at once."""
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        _stop(searcher, ledger, console)

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _stop(searcher: StudySearcher, ledger: Ledger, console: Console, why: str = "") -> None:
    searcher.stopping = True
    write_whole(ledger.stop_path, "")
    console.print(f"stopping{why}: running trials are writing their checkpoints", highlight=False)


class RoomWatch(Callback):
    """Tune callback: reports a full disk while every trial waits for room and none asks to begin."""

    def __init__(self, searcher: StudySearcher, ledger: Ledger) -> None:
        self._searcher, self._ledger = searcher, ledger
        self._full = False

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Called by Tune several times a second."""
        before, self._full = self._full, self._ledger.full
        if self._full and not before:  # the ledger learns some seconds late of its end
            self._searcher.pause()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; nothing of this one is wanted back."""
        return {}


class BudgetWatch(Callback):
    """Tune callback: counts running trials against the budget; stops them as Ctrl-C does once it is used up."""

    def __init__(self, budget: Budget, searcher: StudySearcher, ledger: Ledger, console: Console) -> None:
        self._budget, self._searcher, self._ledger, self._console = budget, searcher, ledger, console
        self._looked = 0.0

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Called by Tune several times a second, and so are its other methods when a trial does what they say."""
        if self._searcher.stopping or time.monotonic() - self._looked < 1:
            return
        self._looked = time.monotonic()
        over = self._budget.over
        if over is not None:
            _stop(self._searcher, self._ledger, self._console, f", {over} is used up")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._budget.started(trial.config["trial"], trial.config.get("spent", 0.0), trial.config["gpus"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if "waiting" not in result:
            self._budget.heard(trial.config["trial"], result["seconds"])

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._budget.ended(trial.config["trial"])

    on_trial_complete = on_trial_error = on_trial_recover

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; nothing of this one is wanted back."""
        return {}
