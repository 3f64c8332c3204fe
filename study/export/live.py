"""Live export: sends trials to a tracker while they run (``track``), from a thread of the driver.

Workers need no tracker, network or credentials: the driver sends what they report to Ray Tune and leave in the ledger.
A tracker that fails costs its own runs and nothing else: one line says so, and the same command sends later what is
missing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ray.tune import Callback

from analysis.records.records import read_study
from ledger.storage import Folder
from sldd.errors import InputError
from study.config.schema import StudyConfig
from study.export.cells import Curve, TrialMetadata, curve, read_cells, read_trial
from study.export.targets import module

NONE = "none"
_LAST_SECONDS = 60.0
"""How long the end of a command waits for a tracker to take what is left."""
_LATER = "the study is not touched by it, and the same command sends later what is missing"


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


class _Event(NamedTuple):
    """What Tune tells of a trial."""

    trial: str
    """``<cell>/<i>``."""
    history: list[Any] | None
    """New entries of its history, of which there are none when it starts; None once it has ended."""


class LiveTracking(Callback):
    """Tune callback that queues what trials do, and context manager of the thread that sends it to the tracker.

    Args:
        folder: the study's.
        say: called with a line for the user where something goes wrong.
    """

    def __init__(self, config: StudyConfig, folder: Folder, say: Callable[[str], None]) -> None:
        self._config, self._folder, self._say = config, folder, say
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()  # None ends the thread
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
        self._thread.join(_LAST_SECONDS)
        if self._thread.is_alive():
            self._say(f"track: {self._config.track} does not answer; {_LATER}")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Called by Tune once a trial has a worker."""
        self._put(trial, [])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Called by Tune after every step of a worker."""
        if result.get("history"):
            self._put(trial, result["history"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Called by Tune when a trial has ended and written its files."""
        self._put(trial, None)

    on_trial_error = on_trial_complete

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks, and a thread cannot be pickled."""
        return {}

    def _put(self, trial: Any, history: list[Any] | None) -> None:
        if self._config.track != NONE and not self._failed:
            self._events.put(_Event(str(trial.config["trial"]), history))

    def _work(self) -> None:
        """Send what comes, until the end of the command or the first failure."""
        name = self._config.track
        try:
            self._send(self._open())
        except Exception as error:  # whatever a tracker raises, no trial may be lost to it
            self._failed = True
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            self._say(f"track: {reason.removeprefix(f'--{name}: ')}; no more is sent to {name} now: {_LATER}")

    def _open(self) -> Runs:
        """The study's runs at the tracker, to which all trials that ended before this start have been sent."""
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
        """Send events until the end of the command; then the trials that have a result but were not sent whole."""
        last_sent: dict[str, int] = {}  # outer step up to which its curves were sent, by trial that is not sent whole
        try:
            while (event := self._events.get()) is not None:
                name, history = event
                trial = read_trial(self._study, name)
                if trial is None:
                    continue  # a longer search has overtaken it
                if history is not None:
                    before = last_sent.get(name, -1)
                    points = [(step, values) for step, values in curve(history) if step > before]
                    last_sent[name] = points[-1][0] if points else before
                    if trial.status == "running":  # or else its end is queued
                        runs.follow(trial, points)
                elif trial.status != "running" and not trial.waits:
                    runs.put(trial)
                    last_sent.pop(name, None)
            for name in last_sent:  # at a rung, failed, or stopped
                trial = read_trial(self._study, name)
                if trial is not None and trial.status != "running":
                    runs.put(trial)
        finally:
            runs.close()
