"""One run of a method on digits: within its core seconds, scored from the known start and from fresh ones.

The clock runs while a method makes its learner, gets its batches and steps: experts, core sets and features of real
digits are its own cost, and nothing is kept for other runs. It stands still while digits are scored.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.distillation.digit_data import CLASSES, Parts
from benchmarks.distillation.digits import CPU, Digits, accuracy
from sldd.backbones.init import initialise
from sldd.backbones.norms import load_statistics
from sldd.backbones.registry import build
from sldd.data.prefetch import Prefetch
from sldd.rng import stream
from sldd.training.fresh_start import FreshSettings, train_fresh
from sldd.training.learner import Learner, State
from sldd.training.outer_loop import DivergedError
from study.config.methods import METHODS
from study.config.schema import StudyConfig
from study.grid.spec import TrialSpec

_LOOKS = 5
"""Times that the state is looked at, evenly along the budget; the best by 500 digits is kept."""
_STATISTICS_BATCHES = 8
"""Batches of real digits over which batch norm is measured."""


@dataclass
class Budget:
    """What a run may spend, either of two, and what it has spent."""

    core_seconds: float | None
    outer_steps: int | None
    seconds: float = 0.0
    steps: int = 0

    @property
    def share(self) -> float:
        """Of the budget that is spent; above 1 where the last step took more than was left."""
        if self.outer_steps is not None:
            return self.steps / self.outer_steps
        assert self.core_seconds is not None
        return self.seconds / self.core_seconds

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Context whose core seconds are spent."""
        begun = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - begun


@dataclass(frozen=True)
class Run:
    """A method's run, and how it is scored.

    Attributes:
        spec: cell, seed and rates.
        config: settings of the method.
        batch: real digits a step.
        starts, fresh_steps: fresh starts, and the steps that each trains.
        verbose: print what each look has found.
    """

    spec: TrialSpec
    config: StudyConfig
    batch: int
    starts: int
    fresh_steps: int
    verbose: bool = False

    def measure(self, parts: Parts, budget: Budget) -> dict[str, Any]:
        """Share of 2,000 test digits told right from the known start (``known``) and from each fresh one (``fresh``),
        None where that diverged; steps and core seconds; and in ``error`` why the run itself has no score."""
        found: dict[str, Any] = {"inner_lr": self.spec.inner_lr, "known": None, "fresh": [], "error": None}
        try:
            learner, state = self._distilled(parts, budget)
            found["known"] = self._accuracy(learner, state, parts, parts.test)
            found["fresh"] = [self._fresh_accuracy(state, start, parts.test) for start in range(self.starts)]
        except (DivergedError, torch.linalg.LinAlgError) as error:
            found["error"] = str(error)
        return found | {"steps": budget.steps, "core_seconds": round(budget.seconds, 1)}

    def _distilled(self, parts: Parts, budget: Budget) -> tuple[Learner, State]:
        """The learner when the budget is spent (after a step at least), and its best state."""
        method, seed, data = METHODS[self.spec.cell.method], self.spec.seed, parts.train
        network = self._network(seed)
        rows = None if budget.outer_steps is None else budget.outer_steps * self.batch
        drawn = Prefetch(lambda number: data.draw(stream(seed, "batch", number), self.batch), CPU, rows=rows)
        with budget.clock():
            learner = method.learner(self.spec, network, data, self.config, CPU)
            batches = learner.begin(drawn, self._real(parts))
        best, kept, look = -1.0, State(), 1
        with closing(batches):
            while not kept or budget.share < 1:
                rate = self.spec.outer_lr * 0.5 * (1 + math.cos(math.pi * min(1.0, budget.share)))
                with budget.clock():
                    loss = learner.step(*batches.get(budget.steps), rate)
                budget.steps += 1
                if not math.isfinite(loss):
                    raise DivergedError(f"the loss is {loss} at outer step {budget.steps}")
                if budget.share < look / _LOOKS:
                    continue
                look = math.floor(budget.share * _LOOKS) + 1
                state = learner.state()
                reached = self._accuracy(learner, state, parts, parts.chooser)
                if self.verbose:
                    name = self.spec.cell.method
                    print(f"  {name} step {budget.steps}: loss {loss:.4g}, {reached:.3f} of 500 digits", flush=True)
                if reached >= best:
                    best, kept = reached, {name: value.clone() for name, value in state.items()}
        return learner, kept

    def _network(self, seed: int) -> torch.nn.Module:
        network = build(self.spec.cell.backbone, input_size=28, classes=CLASSES)
        initialise(network, seed)
        return network

    def _real(self, parts: Parts) -> Iterator[torch.Tensor]:
        for number in range(_STATISTICS_BATCHES):
            yield parts.train.draw(stream(self.spec.seed, "statistics", number), self.batch)[0]

    def _accuracy(self, learner: Learner, state: State, parts: Parts, digits: Digits) -> float:
        """Of the network that a state stands for, with batch norm measured on training digits."""
        weights = learner.weights(state)
        load_statistics(learner.network, learner.theta_bn(weights, self._real(parts)))
        learner.network.eval()
        try:
            return accuracy(partial(learner.forward, weights), digits)
        finally:
            learner.network.train()

    def _fresh_accuracy(self, state: State, start: int, test: Digits) -> float | None:
        """Of a network that a fresh start has trained on the images; None where training diverged."""
        seed = 1000 + self.spec.seed * 100 + start
        network, settings = self._network(seed), FreshSettings(steps=self.fresh_steps)
        try:
            train_fresh(network, state["images"], state["labels"], settings=settings, seed=seed)
            return accuracy(network, test)
        except (ValueError, DivergedError):
            return None
