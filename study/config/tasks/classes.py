"""Classification of whole images into one of several classes, two included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.records.class_runs import ClassRun, pooled_class_run
from analysis.records.tasks import TASKS as RESULTS
from ledger.trial import Trial
from sldd.data.cohort import Cohort
from sldd.data.patches import PatchSettings
from sldd.data.split import Split
from sldd.data.whole_films import WholeFilms, exclusive_classes
from sldd.errors import InputError
from sldd.pipeline import task_data as pipeline
from sldd.privacy_attacks.views import ImageViews
from study.config.schema import StudyConfig
from study.config.tasks.base import Learned, Objective, by_seed, mean, spread
from study.config.tasks.films import FilmsTask, WholeFilmData
from study.grid.axes import Cell, GridSettings
from study.grid.spec import Score, TrialSpec


class ClassData(pipeline.ClassData, WholeFilmData):
    """Whole images of one class each; errors as of its base."""

    def __init__(self, films: WholeFilms, split: Split) -> None:
        super().__init__(films, split)
        self.views = ImageViews(films, self.numbers, self.input.classes)

    def learned(self, spec: TrialSpec, config: StudyConfig, *, augment: bool) -> Learned:
        drawn = self.augmented(config.augment) if augment else self.batches
        return Learned(self.evaluator(), drawn, self.batches)


class _Classes(FilmsTask[ClassData]):
    name, results = "classes", RESULTS["classes"]
    label_starts = ClassData.label_starts

    def check(self, config: StudyConfig) -> None:
        self.refuse_patches(config, "images of one class each")
        pipeline.check_labels("classes", config.search.options.get("labels", [config.distill.labels]))

    def mismatch(self, cohort: Cohort) -> str | None:
        if not cohort.classes:
            return (
                "have patients with one label and organ masks, and task=classes is about images of one class each; "
                "use data.source=classes, or task=patches"
            )
        try:
            exclusive_classes(cohort)
        except InputError as error:
            return f"have findings, several or none on a film ({error}); set task=multilabel"
        return None

    def training_cells(self, cell: Cell, block: GridSettings) -> Iterator[Cell]:
        yield replace(cell, train_view="whole")

    def data(self, cohort: Cohort, settings: PatchSettings, split: Split) -> ClassData:
        return ClassData(WholeFilms(cohort, settings.input_size, *cohort.intensity(split.train)), split)

    def joined(self, parts: Sequence[ClassData]) -> ClassData:
        raise InputError("sources: only collections of films with findings can be trained on")

    def objective(self, validation: Mapping[str, Any], score: Score) -> Objective:
        """The mean of balanced accuracy and macro AUC, which moves with every image; or the first alone."""
        balanced, auc = validation["balanced_accuracy"] or 0.0, validation["auc"] or 0.0
        return (balanced, auc, 0.0) if score == "headline" else ((balanced + auc) / 2, balanced, auc)

    def run_scores(self, confirmed: Iterable[Trial], folds: int) -> list[float]:
        return [run.balanced_accuracy for run in _runs(confirmed, folds)]

    def columns(self, confirmed: Sequence[Trial], folds: int) -> dict[str, str]:
        measured = _runs(confirmed, folds)
        return {
            "test balanced accuracy": spread(run.balanced_accuracy for run in measured),
            "AUC": mean(None if math.isnan(run.auc) else run.auc for run in measured),
            "accuracy": mean(run.accuracy for run in measured),
        }


def _runs(confirmed: Iterable[Trial], folds: int) -> list[ClassRun]:
    """The runs that have all of their folds, by seed."""
    pooled = [pooled_class_run(results) for results in by_seed(confirmed, folds)]
    return [run for run in pooled if run is not None]


CLASSES = _Classes()
