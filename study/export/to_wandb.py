"""Weights & Biases export: one run for each trial, in a project, grouped by cell; ``WANDB_MODE=offline`` keeps it here.

A run's identifier follows from its study, trial and attempt, so that a trial never has two in a project. That a
finished one was sent, and where to, is noted in its folder (``wandb.json``): offline, no server could tell. Nothing of
the machine is sent.
"""

from __future__ import annotations

import hashlib
import json
import netrc
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import wandb

from analysis.records.records import Study
from ledger.storage import write_whole
from ledger.trial_files import read_json
from sldd.errors import InputError
from study.export.cells import Curve, TrialMetadata, identity, read_exported
from study.export.picture import picture

MARK = "wandb.json"
_PACKAGE = "package.safetensors"
_ENDED = ("done", "diverged", "failed")


def export(study: Study, where: str, *, packages: bool = False) -> str:
    """Send the trials that have ended and were not sent; what was done, in words.

    Raises:
        InputError: there is no key, or the project cannot be used.
    """
    check()
    runs = Runs(study, where, packages=packages)
    try:
        sent = [runs.put(trial) for _, trials in read_exported(study) for trial in trials]
    finally:
        runs.close()
    return f"{sent.count(True)} runs new, {sent.count(False)} there before, in project {runs.project}"


def check() -> None:
    """Raise an InputError where runs are to be sent and there is no key to do so: nobody may be there to be asked."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled") or os.environ.get("WANDB_API_KEY"):
        return
    host = urlparse(_server()).hostname
    try:
        known = netrc.netrc(os.environ.get("NETRC")).authenticators(str(host))
    except (OSError, netrc.NetrcParseError):
        known = None
    if known is None:
        raise InputError("--wandb: there is no key here; wandb login, WANDB_API_KEY=..., or WANDB_MODE=offline")


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


class Runs:
    """A study's runs in a project.

    Raises:
        InputError: by all methods: the project cannot be used.
    """

    def __init__(self, study: Study, where: str | None, *, packages: bool = True) -> None:
        self._study, self._packages = study, packages
        self.project = where or os.environ.get("WANDB_PROJECT") or study.name
        self._open: dict[str, Any] = {}  # wandb.Run by trial
        self._sent: dict[str, int] = {}  # the last outer step that the curves of an open run have, by trial

    def put(self, trial: TrialMetadata) -> bool | None:
        """Send a trial that has ended; False where it was sent, None where it has not ended or W&B is disabled."""
        if trial.status not in _ENDED:
            return None
        mark = self._study.trial_folder(trial.trial) / MARK
        if self._was_sent(trial, read_json(mark) or {}):
            return False
        with _as_input_error():
            run = self._run(trial)
            self._log(trial, trial.history)
            run.summary.update(trial.scores | trial.costs | {"status": trial.status, "stopped": trial.stopped})
            if (shown := picture(self._study, trial)) is not None:
                run.log({"distilled/images": wandb.Image(shown)})
            if self._packages:
                self._add_package(run, trial)
            run.finish(exit_code=0 if trial.status == "done" else 1)
            del self._open[trial.trial]
            if run.settings.mode == "disabled":
                return None
            sent: dict[str, str | int] = {"run": self._name(trial), "project": self.project, "step": trial.last_step}
            if run.settings.mode != "offline":  # an offline run goes wherever wandb sync sends it
                sent["server"] = _server()
            write_whole(mark, json.dumps(sent))
        return True

    def _was_sent(self, trial: TrialMetadata, mark: Mapping[str, Any]) -> bool:
        """Whether a trial's mark says that all of it went to this project.

        Marks by earlier versions lack ``step`` and ``server``; offline runs have no ``server`` either.
        """
        if mark.get("run") != self._name(trial) or mark.get("project") != self.project:
            return False
        further = bool(trial.history) and trial.went_on and trial.last_step > mark.get("step", -1)
        elsewhere = os.environ.get("WANDB_MODE") != "offline" and mark.get("server", _server()) != _server()
        return not further and not elsewhere

    def follow(self, trial: TrialMetadata, points: Curve) -> None:
        """Add points to the curves of a trial that runs."""
        with _as_input_error():
            (self._study.trial_folder(trial.trial) / MARK).unlink(missing_ok=True)  # from when it waited at a rung
            self._run(trial)
            self._log(trial, points)

    def close(self) -> None:
        """Close the runs of trials that did not end; a later start goes on with them."""
        with _as_input_error():
            for run in self._open.values():
                run.mark_preempting()
                run.finish(exit_code=1)
        self._open.clear()

    def _name(self, trial: TrialMetadata) -> str:
        """Identifier of a trial's run."""
        identified = f"{self._study.name} {identity(self._study)} {trial.trial} {trial.attempt}"
        return hashlib.sha256(identified.encode()).hexdigest()[:16]

    def _run(self, trial: TrialMetadata) -> Any:
        """The open run of a trial (``wandb.Run``); begun, or online gone on with, where it is not open."""
        if trial.trial in self._open:
            return self._open[trial.trial]
        local = isinstance(self._study.folder, Path) and "WANDB_DIR" not in os.environ
        run = wandb.init(
            project=self.project,
            id=self._name(trial),
            name=trial.trial,
            group=trial.cell,
            job_type=trial.phase,
            config={"study": self._study.name, "attempt": trial.attempt, **trial.setting, **trial.suggested},
            dir=str(self._study.folder) if local else None,
            reinit="create_new",
            resume=None if os.environ.get("WANDB_MODE") == "offline" else "allow",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, save_code=False,
                x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False,
                host="",
            ),
        )  # fmt: skip
        run.define_metric("*", step_metric="outer_step")
        self._open[trial.trial], self._sent[trial.trial] = run, -1
        return run

    def _log(self, trial: TrialMetadata, points: Curve) -> None:
        """Add points to the curves of an open run, but for those that it has."""
        for step, values in points:
            if step > self._sent[trial.trial]:
                self._open[trial.trial].log({"outer_step": step, **values})
                self._sent[trial.trial] = step

    def _add_package(self, run: Any, trial: TrialMetadata) -> None:
        try:
            content = (self._study.trial_folder(trial.trial) / _PACKAGE).read_bytes()
        except OSError:
            return
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / _PACKAGE
            path.write_bytes(content)
            artifact = wandb.Artifact(f"package-{run.id}", type="package")
            artifact.add_file(str(path), policy="mutable")
            run.log_artifact(artifact)


@contextmanager
def _as_input_error() -> Iterator[None]:
    """Raises what W&B raises as an InputError, one line for the user."""
    try:
        yield
    except (wandb.Error, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"--wandb: the project cannot be used ({reason})") from None
