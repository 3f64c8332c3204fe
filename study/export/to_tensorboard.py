"""TensorBoard export of finished trials, as ``<study>/<cell>/<i>``: curves, results, parameters, distilled images.

A run is one file, which appears whole; a trial that has one is never written again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from analysis.pictures import draw, heading
from analysis.records.packages import read_distilled
from analysis.records.records import Study
from ledger.storage import Folder, StorageError, make, open_folder, write_whole
from sldd.errors import InputError
from study.export.cells import TrialMetadata, check_same, identity, read_cells

FILE = "events.out.tfevents.0.study"  # TensorBoard goes by the middle of the name
_OURS = "study.txt"
COMPARED = ["result/val_hm", "result/test_hm", "result/val_auc", "result/test_auc", "result/seconds"]
"""What the table of parameters shows beside them."""


def export(study: Study, where: str) -> str:
    """Write the runs that are not yet in the folder ``where``; what was done, in words.

    Raises:
        InputError: the folder cannot be written, or holds another study of this name.
    """
    new = kept = 0
    try:
        folder = open_folder(where) / study.name
        _claim(study, folder)
        for cell, trials in read_cells(study):
            for trial in trials:
                if trial.status not in ("done", "diverged"):
                    continue  # a failed trial may be tried again, and has no curve
                run = folder / cell / str(trial.number)
                if (run / FILE).is_file():
                    kept += 1
                    continue
                content = _events(study, trial)
                make(run)
                write_whole(run / FILE, content)
                new += 1
    except StorageError as error:
        raise InputError(f"--tensorboard: {error}") from None
    except OSError as error:
        raise InputError(f"--tensorboard: {where} cannot be written ({error.strerror or error})") from None
    return f"{new} runs new, {kept} there before, in {where}"


def _claim(study: Study, folder: Folder) -> None:
    mark = folder / _OURS
    if mark.is_file():
        check_same(study, mark.read_text(encoding="utf-8").strip(), "--tensorboard: the folder")
    else:
        make(folder)
        write_whole(mark, identity(study) + "\n")


def _events(study: Study, trial: TrialMetadata) -> bytes:
    """The content of a run's file."""
    with tempfile.TemporaryDirectory() as scratch:
        with SummaryWriter(scratch) as writer:
            for step, values in trial.history:
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
            last = int(trial.costs.get("outer_steps", 0))
            results = {f"result/{name}": value for name, value in (trial.scores | trial.costs).items()}
            for name, value in results.items():
                writer.add_scalar(name, value, last)
            asked = {"phase": trial.phase, "status": trial.status, "stopped": trial.stopped}
            asked |= trial.setting | {
                name: "none" if value is None else value for name, value in trial.suggested.items()
            }
            for summary in hparams(asked, {name: results[name] for name in COMPARED if name in results}):
                writer.file_writer.add_summary(summary)
            picture = _picture(study, trial)
            if picture is not None:
                writer.add_image("distilled/images", picture, last, dataformats="HWC")
        (file,) = Path(scratch).iterdir()
        return file.read_bytes()


def _picture(study: Study, trial: TrialMetadata) -> np.ndarray | None:
    """(height, width, 3) uint8: the distilled images under their labels in percent, as the papers print them."""
    distilled = read_distilled(study.trial_folder(trial.trial))
    if distilled is None:
        return None
    title = heading(study, str(trial.setting.get("backbone")), distilled.rates)
    return np.asarray(draw(title, distilled))
