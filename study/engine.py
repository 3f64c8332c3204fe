"""Ray Tune as the engine: it places, retries and scales; what runs is up to the ledger and its searches."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType

from ray import tune
from rich.console import Console

from analysis.storage import write_whole
from study.cell_search import CellSearch
from study.cluster import Slots
from study.config import StudyConfig
from study.count_search import CountSearch, series
from study.grid import Cell
from study.ledger import Ledger
from study.materials import TrialContext
from study.plan import PlannedCell
from study.progress import ProgressLine, TuneReports
from study.protocol import fixed_delta
from study.search import Search, StudySearcher
from study.worker import LOSSES, Worker


def make_searches(config: StudyConfig, ledger: Ledger, plan: list[PlannedCell]) -> list[Search]:
    """One a cell; where image counts are searched, one for all counts of a setting."""
    planned = {entry.cell: entry for entry in plan}

    def search(cell: Cell) -> CellSearch:
        facts = {**asdict(cell), "parameters": planned[cell].parameters, "protocol": config.protocol}
        delta = fixed_delta(config.protocol)
        return CellSearch(cell, config.search, config.confirm, ledger, seed=config.seed, facts=facts, delta=delta)

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
) -> int:
    """Run all that is left to run; returns the number of the signal that interrupted it, or 0."""
    line = ProgressLine(console, config.name, plan, ledger, slots.concurrent)
    searcher = StudySearcher(
        searches, ledger, line.show, lambda words: console.print(words, highlight=False, soft_wrap=True)
    )
    line.searcher, line.searches = searcher, searches

    scratch = tempfile.mkdtemp(prefix="study-tune-")  # Tune wants a folder; nothing in it is ever read
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(Worker, context=context), {"cpu": slots.cpus, "gpu": slots.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, max_concurrent_trials=slots.concurrent, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=scratch,
            name=config.name,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=LOSSES),
            callbacks=[TuneReports(line)],
        ),
    )
    try:
        with line, _stopping(searcher, ledger, console) as received:
            tuner.fit()
    finally:
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
        searcher.stopping = True
        write_whole(ledger.stop_path, "")
        console.print("stopping: running trials are writing their checkpoints", highlight=False)

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
