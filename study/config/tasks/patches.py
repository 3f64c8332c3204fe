"""Patch classification (I, N, P), whose votes call a patient positive or negative (Li et al. 2022)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from sldd.data.cohort import Cohort
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.split import Split
from sldd.data.whole_films import WholeBatches, WholeFilms
from sldd.errors import InputError
from sldd.metrics.patient_evaluator import PatientEvaluator
from sldd.ops.windows import window_starts
from sldd.pipeline import task_data as pipeline
from sldd.privacy_attacks.views import PatchViews
from sldd.rng import stream
from sldd.training.dp_sgd import PatientBatches
from study.config.schema import StudyConfig
from study.config.tasks.base import Learned, TaskData
from study.config.tasks.patients import PatientsTask
from study.grid.axes import Cell, GridSettings
from study.grid.protocol import fixed_delta
from study.grid.spec import TrialSpec


class PatchData(pipeline.PatchData, TaskData):
    """Patches of a cohort's patients; errors as of its base."""

    def __init__(self, patches: Patches, split: Split) -> None:
        super().__init__(patches, split)
        self.views = PatchViews(patches)

    def learned(self, spec: TrialSpec, config: StudyConfig, *, augment: bool) -> Learned:
        """For ordinary training, what its cell names; by patient, where private."""
        cell, delta = spec.cell, fixed_delta(config.protocol)
        if config.privacy.noise is not None:
            private = PatientBatches(self.patches, self.split.train, config.privacy)
            return Learned(self.evaluator(delta), private, private)
        if cell.train_view == "whole":
            films = WholeFilms(self.cohort, self.input.side, self.input.mean, self.input.std)
            whole = WholeBatches(films, self.split.train)
            return Learned(PatientEvaluator(films, delta), whole, whole)
        subset = self._subset(cell, spec.seed, "subset")
        return Learned(self.evaluator(delta), subset, subset)

    def _subset(self, cell: Cell, seed: int, stream_name: str) -> BalancedBatches:
        random = stream(seed, stream_name)
        return self.batches.subset(random, classes=cell.train_classes or "INP", per_class=cell.train_patches)

    def refusal(self, cell: Cell) -> str | None:
        try:
            if cell.train_patches is not None:
                self._subset(cell, 0, "plan")
        except InputError as error:
            return str(error)
        return None

    def scored(self, cell: Cell) -> int:
        films = [film for patient in self.split.validation for film in self.cohort.films_of[patient]]
        return len(films) if cell.train_view == "whole" else sum(map(self._windows, films))

    def _windows(self, film: int) -> int:
        geometry = self.patches.geometry(film, scoring=True)
        rows, columns = (len(window_starts(side, *geometry)) for side in self.cohort.shapes[film])
        return rows * columns

    @property
    def drawn_words(self) -> str:
        return "training patches " + ", ".join(f"{count:,} {name}" for name, count in self.batches.counts.items())


class _Patches(PatientsTask[PatchData]):
    name, label_starts = "patches", PatchData.label_starts

    def training_cells(self, cell: Cell, block: GridSettings) -> Iterator[Cell]:
        for view, patches, classes in itertools.product(block.train_view, block.train_patches, block.train_classes):
            patches, classes = (patches, classes) if view == "patches" else (None, "NP")
            yield replace(cell, train_view=view, train_patches=patches, train_classes=classes)

    def data(self, cohort: Cohort, settings: PatchSettings, split: Split) -> PatchData:
        return PatchData(Patches(cohort, settings, *cohort.intensity(split.train)), split)


PATCHES = _Patches()
