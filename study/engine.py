"""Ray Tune as the engine: it places, retries and scales; what runs is up to the ledger and its searches."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from types import FrameType
from typing import Any

from ray import tune
from ray.tune import Callback
from rich.console import Console

from ledger.ledger import Ledger, Trial
from ledger.storage import write_whole
from study.cluster.gpu_share import GpuShares
from study.cluster.ray_cluster import Slots
from study.config.schema import StudyConfig
from study.grid.axes import Cell
from study.grid.chains import starts_from
from study.grid.protocol import fixed_delta
from study.planning.budget import Budget
from study.planning.plan import PlannedCell, confirm_settings
from study.report.progress import ProgressLine, TuneReports
from study.search.cell_search import CellSearch
from study.search.count_search import CountSearch, series
from study.search.tune_searcher import Search, StudySearcher
from study.trial.context import TrialContext
from study.trial.worker import LOSSES, Worker


def make_searches(config: StudyConfig, ledger: Ledger, plan: list[PlannedCell]) -> list[Search]:
    """One a cell; where image counts are searched, one for all counts of a setting."""
    planned = {entry.cell: entry for entry in plan}
    searches: dict[Cell, CellSearch] = {}

    def search(cell: Cell) -> CellSearch:
        if cell not in searches:
            searches[cell] = new(cell)
        return searches[cell]

    def new(cell: Cell) -> CellSearch:
        facts = {**asdict(cell), "parameters": planned[cell].parameters, "protocol": config.protocol}
        facts |= {"task": config.task}
        delta = fixed_delta(config.protocol)
        return CellSearch(
            cell,
            config.search,
            confirm_settings(config, cell),
            ledger,
            seed=config.seed,
            facts=facts,
            delta=delta,
            after=[None if other is None else search(other) for other in starts_from(cell)],
        )

    listed: list[Search] = [search(cell) for cell in planned if not cell.counted]
    counted = series([cell for cell in planned if cell.counted])
    return listed + [CountSearch([search(cell) for cell in group], config.minimum) for group in counted]


def run_trials(
    config: StudyConfig,
    ledger: Ledger,
    plan: list[PlannedCell],
    searches: list[Search],
    slots: Slots,
    console: Console,
    context: TrialContext,
    budget: Budget,
    trainable: type[Worker] = Worker,
) -> int:
    """Run all that is left to run, or what the budget allows; returns the number of the signal that interrupted it,
    or 0."""
    line = ProgressLine(console, config.name, plan, ledger, slots.concurrent)
    say = partial(console.print, highlight=False, soft_wrap=True)
    shares = GpuShares(config.resources, slots, ledger)

    def needs(trial: Trial) -> dict[str, float]:
        return {"cpus": slots.cpus, "gpus": shares.of(trial)}

    searcher = StudySearcher(searches, ledger, needs, line.show, lambda: budget.may_begin, say)
    searcher.stopping = budget.over is not None  # earlier starts may have left nothing
    line.searcher, line.searches = searcher, searches

    scratch = tempfile.mkdtemp(prefix="study-tune-")  # Tune wants a folder; nothing in it is ever read
    tuner = tune.Tuner(
        tune.with_parameters(trainable, context=context),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, max_concurrent_trials=slots.concurrent, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=scratch,
            name=config.name,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=LOSSES),
            stop=lambda _, result: searcher.stopping and "blind" in result,  # such a worker cannot see that it shall
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the ledger has the trials' own
            callbacks=[
                TuneReports(line),
                _BudgetWatch(budget, searcher, ledger, console),
                _RoomWatch(searcher, ledger),
            ],
        ),
    )
    try:
        with line, _stopping(searcher, ledger, console) as received:
            tuner.fit()
    finally:
        budget.keep()
        shutil.rmtree(scratch, ignore_errors=True)
    return received[0] if received else 0


@contextmanager
def _stopping(searcher: StudySearcher, ledger: Ledger, console: Console) -> Iterator[list[int]]:
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


class _RoomWatch(Callback):
    """Says that the disk is full while every trial waits for room, and none asks to begin."""

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


class _BudgetWatch(Callback):
    """Tells the budget what runs, and stops all of it as Ctrl-C does once hours or GPU-hours are used up."""

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
        self._budget.started(trial.config)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if "blind" not in result:
            self._budget.heard(trial.config["trial"], result["seconds"])

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._budget.ended(trial.config["trial"])

    on_trial_complete = on_trial_error = on_trial_recover

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; nothing of this one is wanted back."""
        return {}
