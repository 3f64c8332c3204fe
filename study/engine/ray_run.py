"""Runs a study's trials with Ray Tune, which places, retries and scales; searches and ledger decide what runs."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial

from ray import tune

from ledger.trial import Trial
from study.cluster.gpu_share import GpuShares
from study.engine.lost_workers import lost_workers_retried
from study.engine.report.progress import ProgressLine, TuneReports
from study.engine.study_run import StudyRun
from study.engine.watch import BudgetWatch, RoomWatch, stopping
from study.export.live import LiveTracking
from study.search.tune_searcher import StudySearcher
from study.trial.worker import LOSSES, Worker


def run_trials(run: StudyRun, trainable: type[Worker] = Worker) -> int:
    """Run all that is left to run, or what the budget allows; returns the number of the signal that interrupted it,
    or 0."""
    ledger, slots, console, budget = run.ledger, run.slots, run.console, run.budget
    line = ProgressLine(console, run.config.name, run.plan, ledger, slots.concurrent)
    say = partial(console.print, highlight=False, soft_wrap=True)
    shares = GpuShares(run.config.resources, slots, ledger)

    def needs(trial: Trial) -> dict[str, float]:
        return {"cpus": slots.cpus, "gpus": shares.of(trial)}

    searcher = StudySearcher(run.searches, ledger, needs, line.show, lambda: budget.may_begin, say)
    searcher.stopping = budget.over is not None  # earlier starts may have left nothing
    line.searcher, line.searches = searcher, run.searches

    tracking = LiveTracking(run.config, ledger.folder, say)
    scratch = tempfile.mkdtemp(prefix="study-tune-")  # Tune wants a folder; nothing in it is ever read
    tuner = tune.Tuner(
        tune.with_parameters(trainable, context=run.context),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, max_concurrent_trials=slots.concurrent, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=scratch,
            name=run.config.name,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=LOSSES),
            stop=lambda _, result: searcher.stopping and "waiting" in result,  # such a worker cannot see that it shall
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the ledger has the trials' own
            callbacks=[
                TuneReports(line),
                BudgetWatch(budget, searcher, ledger, console),
                RoomWatch(searcher, ledger),
                tracking,
            ],
        ),
    )
    try:
        with line, tracking, lost_workers_retried(), stopping(searcher, ledger, console) as received:
            tuner.fit()
    finally:
        budget.keep()
        shutil.rmtree(scratch, ignore_errors=True)
    return received[0] if received else 0
