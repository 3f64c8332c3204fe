"""Loads a finished study (configuration, cohort, confirmed trials) for analysis of its packages."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ledger.ledger import Ledger
from ledger.storage import Folder, StorageError, open_folder, reachable
from ledger.trial_files import read_trials
from ledger.trial_folder import PACKAGE
from sldd.backbones.start import FILE_ENDINGS, start_of
from sldd.data.cohort import Cohort, default_cache, prepare
from sldd.data.settings import open_source
from sldd.errors import InputError
from sldd.package import Package
from study.config.loader import parse
from study.config.schema import StudyConfig
from study.grid.ordinary_training import trained_beside, trains_on_all
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext, weights_file
from study.trial.pseudonyms import keep_key


@dataclass(frozen=True)
class Confirmed:
    """A confirm trial that is done."""

    cell: str
    folder: Folder
    spec: TrialSpec
    result: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.cell}/{self.folder.name}"

    @property
    def family(self) -> str:
        """The cell's name without its fold: trials of one family differ in patients and seeds only."""
        fold = self.spec.cell.fold
        return self.cell if fold is None else self.cell.removesuffix(f"-f{fold}")

    @property
    def content(self) -> bytes:
        """The package's file, where it left one."""
        return (self.folder / PACKAGE).read_bytes()


@dataclass(frozen=True)
class OpenedStudy:
    """A finished study and its cohort; it takes no lease, so that a driver may go on meanwhile."""

    config: StudyConfig
    cohort: Cohort
    context: TrialContext
    confirmed: list[Confirmed]
    """Those that left a package."""
    trained: list[Confirmed]
    """Those of ordinary training on all patients."""

    def training_beside(self, trial: Confirmed) -> Confirmed | None:
        """The first ordinary training that a trial's images are held against, on its patients; None where none is
        done."""
        cells = [each.spec.cell for each in self.trained]
        beside = trained_beside(cells, trial.spec.cell, self.config.outer.epochs)
        own = [cell for cell in beside if cell.fold == trial.spec.cell.fold]
        return next((each for each in self.trained if each.spec.cell in own), None)

    def other_folds(self, trial: Confirmed) -> list[Confirmed]:
        """All others of a trial's cell, over folds and seeds; none where folds do not rotate."""
        others = [each for each in self.confirmed if each.family == trial.family and each.name != trial.name]
        return others if self.config.confirm.folds else []

    def package(self, trial: Confirmed) -> Package:
        """The package that a trial left."""
        if isinstance(trial.folder, Path):
            return Package.load(trial.folder / PACKAGE)
        with tempfile.TemporaryDirectory() as scratch:  # an object store has no file to open
            path = Path(scratch) / PACKAGE
            path.write_bytes(trial.content)
            return Package.load(path)

    def start_file(self, trial: Confirmed) -> Path | None:
        """The file of weights that a trial started from, where it was one."""
        start = start_of(trial.spec.cell.backbone, trial.spec.cell.start, self.config.pretrained)
        return Path(weights_file(self.context, start)) if start.endswith(FILE_ENDINGS) else None


def open_study(where: str, *, root: str | None = None, cache: str | None = None) -> OpenedStudy:
    """Open the study in a folder or an object store.

    Args:
        root: where its cohort lies now, if not where it was.
        cache: folder for decoded radiographs, if not the study's.

    Raises:
        InputError: no study is there, or its cohort is not the one that it began with.
    """
    try:
        folder = open_folder(where)
        reachable(folder)
    except StorageError as error:
        raise InputError(str(error)) from None
    ledger = Ledger(folder)
    header = ledger.header()
    if header is None:
        raise InputError(f"{where}: holds no study; name the folder that has its study.yaml")
    config = parse(header["config"])
    data = replace(config.data, root=root or config.data.root, cache=cache or config.data.cache)
    config = replace(config, data=data)
    source = open_source(data)
    cohort = prepare(source, Path(data.cache).expanduser().resolve() if data.cache else default_cache().resolve())
    before = header["provenance"]["cohort"]["fingerprint"]
    if cohort.fingerprint != before:
        words = "these are not the patients that the study began with (another fingerprint)"
        raise InputError(f"{where}: {cohort.read_differently(before) or words}")
    found = [
        Confirmed(
            trial.cell,
            folder / "trials" / trial.cell / str(trial.number),
            TrialSpec.from_json(trial.config),
            trial.result,
        )
        for trial in read_trials(folder)
        if trial.config.get("phase") == "confirm" and trial.result is not None and trial.result["status"] == "done"
    ]
    found.sort(key=lambda trial: (trial.cell, int(trial.folder.name)))
    packed = [trial for trial in found if (trial.folder / PACKAGE).is_file()]
    trained = [trial for trial in found if trains_on_all(trial.spec.cell)]
    keep_key(config, ledger, cohort, source.patient_ids)
    pseudonyms = ledger.pseudonyms(source.patient_ids)
    context = TrialContext(config, cohort.folder, cohort.fingerprint, pseudonyms, ledger.stop_path)
    return OpenedStudy(config, cohort, context, packed, trained)
