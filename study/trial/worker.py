"""Ray Tune trainable: runs trials, retries errors, checkpoints on SIGTERM, takes less when out of memory.

An error is tried again in a process of its own; so is a trial whose machine was lost, which goes on from its last
checkpoint elsewhere, as often as it takes while it gets ahead. Out of memory, it recomputes the inner steps, then
halves the patches that are in memory at a time. A warning (SIGTERM, as before a spot machine is taken away) and the
study's own end write a checkpoint. A full disk is waited out, and so is, for a while, a machine that does not see the
study's folder.
"""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

import torch
from ray import tune

from ledger.storage import no_room, open_folder
from ledger.trial_folder import LOST, FolderNotVisibleError, ReplacedError, TrialFolder, failure
from sldd.errors import InputError
from sldd.ops.memory import out_of_memory
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext
from study.trial.memory import with_less_memory
from study.trial.trial import Report, run_trial

LOSSES = 20
"""Machines that a trial may lose while it gets ahead, before Ray gives it up."""
PROCESS = ("ray::_Inner", "ray::Worker")
"""What workers' processes are called: in a step, after the class that ``tune.with_parameters`` makes; between two,
after the name that it gives to it."""
_WAITING_SECONDS = 120.0
"""A machine that does not see the study's folder waits so long for it before it hands its trial back."""
_LOOK_SECONDS = 5.0
_warned = threading.Event()


class Worker(tune.Trainable):
    """Ray Tune trainable, one trial after another; each step ends with a checkpoint in the ledger.

    It reports ``step``, ``steps``, ``seconds`` and ``score``; ``waiting``, in words, while it cannot begin.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """Called by Tune for every trial."""
        return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])

    def setup(self, config: dict[str, Any], context: TrialContext) -> None:
        """Called by Tune for the first trial of a process."""
        # Tune would end the process at once; a trial needs a second for its checkpoint.
        signal.signal(signal.SIGTERM, lambda *_: _warned.set())
        self._context = context
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called by Tune for every later one."""
        self._reports = run_with_retries(new_config, self._context)
        self._last: dict[str, Any] = {"step": 0, "steps": 1, "seconds": 0.0, "score": 0.0}
        return True

    def step(self) -> dict[str, Any]:
        """Go on until there is something to report."""
        try:
            report = next(self._reports, None)
        except InputError as error:
            return {**self._last, "done": True, "failed": str(error)}  # another try would meet the same
        if report is None:
            return {**self._last, "done": True}
        self._last = dict(report)
        return {**self._last, "done": False}


class PreemptedError(RuntimeError):
    """This machine is about to be taken away."""


def run_with_retries(config: dict[str, Any], context: TrialContext) -> Iterator[Report]:
    """Run or resume a trial to its result, or to the end of its worker.

    Args:
        config: as Ray passes it on: the trial's ``config.json``, with its ``folder`` and the ``gpus`` that it holds.

    Ends without a result when the study is stopping, and when another worker has taken the trial over.

    Raises:
        FolderNotVisibleError: this machine does not see the study's folder; another may.
        Exception: whatever the trial raised, while it may be tried again; it is noted in the trial's folder.
    """

    def stopping() -> bool:
        return _warned.is_set() or context.stop_path.exists()

    try:
        folder = yield from _wait_for_folder(config, stopping)
        if folder.finished:
            return  # Ray started this worker again after it had written its result
        if folder.lost > context.config.resources.retries:
            folder.finish(failure(config, f"{LOST}, {folder.lost} times before its first or next checkpoint"))
            return
        try:
            yield from _within_memory(TrialSpec.from_json(config), config.get("gpus", 0.0), context, folder)
        except (ReplacedError, FolderNotVisibleError):
            raise
        except Exception as error:
            if no_room(error) and stopping():
                return  # what could not be written is computed again
            folder.note_error(_described(error))
            if folder.errors <= context.config.resources.retries:
                raise
            folder.finish(failure(config, _described(error)))
    except ReplacedError:
        return
    if _warned.is_set():
        raise PreemptedError("this machine is about to be taken away")


def _wait_for_folder(config: dict[str, Any], stopping: Callable[[], bool]) -> Generator[Report, None, TrialFolder]:
    """Wait until this machine sees the trial's folder, with reports meanwhile; one that joined late may not yet.

    A machine that handed its trial back at once would get the next one, and so on, until none were left for the others.
    """
    begun = time.monotonic()
    while True:
        try:
            return TrialFolder(open_folder(config["folder"]), config["owner"], stopping)
        except FolderNotVisibleError as error:
            if _warned.is_set() or time.monotonic() - begun > _WAITING_SECONDS:
                raise
            yield {"step": 0, "steps": 1, "seconds": 0.0, "score": 0.0, "waiting": str(error)}
        time.sleep(_LOOK_SECONDS)


def _within_memory(spec: TrialSpec, gpus: float, context: TrialContext, folder: TrialFolder) -> Iterator[Report]:
    """Run a trial; out of memory, go on from its checkpoint with what takes less."""
    while True:
        try:
            yield from run_trial(spec, context, folder, gpus)
            return
        except (MemoryError, RuntimeError) as error:
            smaller = with_less_memory(context.config)
            if not out_of_memory(error) or smaller is None:
                raise
        # Out here the error is gone, and with it the frames that hold the trial's tensors.
        context = replace(context, config=smaller)
        gc.collect()
        torch.cuda.empty_cache()


def _described(error: Exception) -> str:
    """An error's kind and message; of the operating system's, not the file it names: files are named after patients."""
    return f"{type(error).__name__}: {error.strerror if isinstance(error, OSError) else error}"
