"""Sends trials to a tracker while they run (``track``): from the driver, in a thread of its own.

Workers need no tracker, network or credentials: what they report to Ray Tune and leave in the ledger is sent. A tracker
that fails costs its own runs and nothing else: one line says so, and the same command sends later what is missing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from ray.tune import Callback

from analysis.records.records import read_study
from ledger.storage import Folder
from sldd.errors import InputError
from study.config.schema import StudyConfig
from study.export.cells import Curve, TrialMetadata, curve, read_cells, read_trial
from study.export.targets import module

NONE = "none"
_SECONDS = 60.0
"""How long the end of a command waits for a tracker."""


class Runs(Protocol):
    """A study's runs at a tracker."""

    def put(self, trial: TrialMetadata) -> object:
        """Bring the run of a trial up to date."""
        ...

    def follow(self, trial: TrialMetadata, points: Curve) -> None:
        """Add points to the curves of a trial that runs."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


def check_tracker(config: StudyConfig) -> None:
    """Raise an InputError where the study's tracker is not installed, or will want a key that is not here."""
    if config.track == NONE:
        if config.track_to is not None:
            raise InputError("track_to: does nothing without track=tensorboard, mlflow or wandb")
        return
    found = module(config.track, f"track: {config.track}")
    if config.track == "wandb":
        try:
            found.check()
        except InputError as error:
            raise InputError(str(error).replace("--wandb", "track: wandb")) from None


class LiveTracking(Callback):
    """Tune callback and context of a study's trials: what they do is queued, and sent by a thread.

    Args:
        folder: the study's.
        say: told in words what goes wrong.
    """

    def __init__(self, config: StudyConfig, folder: Folder, say: Callable[[str], None]) -> None:
        self._config, self._folder, self._say = config, folder, say
        self._events: queue.SimpleQueue[tuple[str, list[Any] | None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._failed = False

    def __enter__(self) -> LiveTracking:
        if self._config.track != NONE:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._config.track == NONE:
            return
        self._events.put(None)
        self._thread.join(_SECONDS)
        if self._thread.is_alive():
            self._say(f"track: {self._config.track} does not answer; {self._later}")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Called by Tune once a trial has a worker."""
        self._put(trial, [])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Called by Tune after every step of a worker."""
        if result.get("history"):
            self._put(trial, result["history"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Called by Tune when a trial has left what it leaves."""
        self._put(trial, None)

    on_trial_error = on_trial_complete

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; a thread cannot be."""
        return {}

    def _put(self, trial: Any, history: list[Any] | None) -> None:
        if self._config.track != NONE and not self._failed:
            self._events.put((str(trial.config["trial"]), history))

    @property
    def _later(self) -> str:
        return "the study is not touched by it, and the same command sends later what is missing"

    def _work(self) -> None:
        """Send what comes, until the end of the command or the first failure."""
        name = self._config.track
        try:
            self._send(self._open())
        except Exception as error:  # whatever a tracker raises, no trial may be lost to it
            self._failed = True
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            self._say(f"track: {reason.removeprefix(f'--{name}: ')}; no more is sent to {name} now: {self._later}")

    def _open(self) -> Runs:
        """The tracker, with all that ended before this start."""
        study = self._study = read_study(self._folder)
        more = {"packages": True, "pictures": True} if self._config.track == "mlflow" else {}
        found = module(self._config.track, f"track: {self._config.track}")
        runs: Runs = found.Runs(study, self._config.track_to, **more)
        for _, trials in read_cells(study):
            for trial in trials:
                if trial.status != "running":
                    runs.put(trial)
        return runs

    def _send(self, runs: Runs) -> None:
        left: dict[str, int] = {}  # trials that have not ended, by the last outer step of theirs that was sent
        try:
            while (event := self._events.get()) is not None:
                name, history = event
                trial = read_trial(self._study, name)
                if trial is None:
                    continue  # a longer search has overtaken it
                if history is not None:
                    points = [point for point in curve(history) if point[0] > left.get(name, -1)]
                    left[name] = points[-1][0] if points else left.get(name, -1)
                    if trial.status == "running":  # or else its end is queued
                        runs.follow(trial, points)
                elif trial.status != "running" and not trial.waits:
                    runs.put(trial)
                    left.pop(name, None)
            for name in left:  # at a rung, failed, or stopped
                trial = read_trial(self._study, name)
                if trial is not None and trial.status != "running":
                    runs.put(trial)
        finally:
            runs.close()
