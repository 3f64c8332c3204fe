"""TensorBoard export of finished trials, as ``<study>/<cell>/<i>``: curves, results, parameters, distilled images.

A run is one file, which appears whole; a trial that has one is written again only if it went on from a rung since.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import hparams, scalar

from analysis.records.records import Study
from ledger.storage import Folder, StorageError, make, open_folder, write_whole
from sldd.errors import InputError
from study.export.cells import Curve, TrialMetadata, check_same, identity, read_exported
from study.export.picture import picture

FILE = "events.out.tfevents.0.study"  # TensorBoard goes by the middle of the name
LIVE = "events.out.tfevents.0.live"  # before the other one, in the order in which TensorBoard reads them
_IDENTITY = "study.txt"
"""File with the identity of the study whose runs a folder has."""
COMPARED = ["result/val_hm", "result/test_hm", "result/val_auc", "result/test_auc", "result/seconds"]
"""Results that TensorBoard's table of hyperparameters shows beside them."""


def export(study: Study, where: str) -> str:
    """Write the runs that are not yet in the folder ``where``; what was done, in words.

    Raises:
        InputError: the folder cannot be written, or holds another study of this name.
    """
    runs = Runs(study, where)
    written = [runs.put(trial) for _, trials in read_exported(study) for trial in trials]
    return f"{written.count(True)} runs new, {written.count(False)} there before, in {where}"


class Runs:
    """A study's runs in a folder of TensorBoard's, with curves of trials that still run in files of their own.

    Raises:
        InputError: by all methods: the folder cannot be written, or holds another study of this name.
    """

    def __init__(self, study: Study, where: str | None) -> None:
        self._study, self._where = study, where or str(study.folder / "tensorboard")
        self._live: dict[str, RecordWriter] = {}
        with self._as_input_error():
            self._folder = open_folder(self._where) / study.name
            _claim(study, self._folder)

    def put(self, trial: TrialMetadata) -> bool | None:
        """Write a finished trial's run; False where it is there, None where there is nothing to write yet."""
        if trial.status not in ("done", "diverged"):
            return None  # a failed trial may be tried again, and has no curve
        run = self._folder / trial.cell / str(trial.number)
        with self._as_input_error():
            new = not (run / FILE).is_file() or self._is_outdated(run / FILE, trial)
            if new:
                content = _events(self._study, trial)
                make(run)
                write_whole(run / FILE, content)
            if trial.trial in self._live:
                self._live.pop(trial.trial).close()
            if isinstance(run, Path):
                (run / LIVE).unlink(missing_ok=True)  # all of it is in the other
        return new

    def _is_outdated(self, file: Folder, trial: TrialMetadata) -> bool:
        """Whether a run's file is from when its trial waited at a rung, from which it went on since."""
        result = self._study.trial_folder(trial.trial) / "result.json"
        return trial.went_on and file.stat().st_mtime < result.stat().st_mtime

    def follow(self, trial: TrialMetadata, points: Curve) -> None:
        """Add points to the curves of a trial that runs; an object store's files cannot grow, and get none."""
        run = self._folder / trial.cell / str(trial.number)
        if not isinstance(run, Path):
            return
        with self._as_input_error():
            if trial.trial not in self._live:
                make(run)
                (run / FILE).unlink(missing_ok=True)  # from when it waited at a rung
                self._live[trial.trial] = RecordWriter(str(run / LIVE))
                self._write(trial, Event(wall_time=time.time(), file_version="brain.Event:2"))
            for step, values in points:
                for name, value in values.items():
                    self._write(trial, Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
            self._live[trial.trial].flush()

    def close(self) -> None:
        """Close the files of trials that did not end; a later start writes theirs anew."""
        for live in self._live.values():
            live.close()

    def _write(self, trial: TrialMetadata, event: Event) -> None:
        self._live[trial.trial].write(event.SerializeToString())

    @contextmanager
    def _as_input_error(self) -> Iterator[None]:
        """Raises what the folder's storage raises as an InputError, one line for the user."""
        try:
            yield
        except StorageError as error:
            raise InputError(f"--tensorboard: {error}") from None
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"--tensorboard: {self._where} cannot be written ({reason})") from None


def _claim(study: Study, folder: Folder) -> None:
    """Make a folder the study's; raise an InputError where it is another's already."""
    mark = folder / _IDENTITY
    if mark.is_file():
        check_same(study, mark.read_text(encoding="utf-8").strip(), "--tensorboard: the folder")
    else:
        make(folder)
        write_whole(mark, identity(study) + "\n")


def _events(study: Study, trial: TrialMetadata) -> bytes:
    """The content of a finished trial's file: curves, results, hyperparameters, picture of the distilled images."""
    with tempfile.TemporaryDirectory() as scratch:
        with SummaryWriter(scratch) as writer:
            for step, values in trial.history:
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
            last = int(trial.costs.get("outer_steps", 0))
            results = {f"result/{name}": value for name, value in (trial.scores | trial.costs).items()}
            for name, value in results.items():
                writer.add_scalar(name, value, last)
            suggested = {name: "none" if value is None else value for name, value in trial.suggested.items()}
            parameters = {"phase": trial.phase, "status": trial.status, "stopped": trial.stopped}
            parameters |= trial.setting | suggested
            for summary in hparams(parameters, {name: results[name] for name in COMPARED if name in results}):
                writer.file_writer.add_summary(summary)
            if (shown := picture(study, trial)) is not None:
                writer.add_image("distilled/images", np.asarray(shown), last, dataformats="HWC")
        (file,) = Path(scratch).iterdir()
        return file.read_bytes()
