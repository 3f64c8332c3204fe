"""Benchmark the share of a demo trial's CPU time that goes into scoring validation patients."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.measure import Figure
from sldd.data.cohort import prepare
from sldd.data.settings import open_source
from study.config.cells import cells
from study.config.loader import load
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext
from study.trial.result import describe_result
from study.trial.running_trial import build_trial

TARGET = 0.12


def figures() -> Iterator[Figure]:
    """Search trials of two of the demo's networks."""
    with tempfile.TemporaryDirectory() as cache:
        for backbone in ("convnet_w32", "test_resnet"):
            scoring, whole = trial_seconds([f"grid.backbone=[{backbone}]", "grid.images=[1]"], Path(cache))
            name = f"scoring / demo trial ({scoring:.1f} of {whole:.1f} s), {backbone}, one image"
            yield Figure(name, scoring / whole, TARGET)


def trial_seconds(overrides: list[str], cache: Path) -> tuple[float, float]:
    """CPU seconds of scoring, and of all of a search trial, in this process; its films are decoded before.

    Args:
        overrides: settings other than the demo's.
        cache: where decoded films are kept.
    """
    config = load("demo", overrides)
    source = open_source(config.data)
    cohort = prepare(source, cache)
    names = [str(number) for number in range(len(source.patient_ids))]
    context = TrialContext(config, cohort.folder, cohort.fingerprint, names, cache)
    cell = next(cell for cell in cells(config.grid, None) if cell.images is not None)
    spec = TrialSpec(cell, "search", 0, outer_lr=0.03, inner_lr=0.02)
    begun = time.process_time()
    trial = build_trial(spec, context, torch.device("cpu"), cache)
    loop, scoring = trial.loop, Spent()
    loop._evaluate = scoring.timed(loop._evaluate)  # type: ignore[method-assign]
    while not loop.finished:
        loop.advance()
    loop.close()
    scoring.timed(lambda: describe_result(spec, loop, trial.data.split, None, names))()
    return scoring.seconds, time.process_time() - begun


class Spent:
    """CPU time of some functions."""

    seconds = 0.0

    def timed(self, work: Callable[[], object]) -> Callable[[], None]:
        """The function, with its time added."""

        def run() -> None:
            begun = time.process_time()
            work()
            self.seconds += time.process_time() - begun

        return run
