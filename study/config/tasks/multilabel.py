"""Multi-label classification of whole films: a probability for each finding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.records.multilabel_runs import FilmRun, pooled_film_run
from analysis.records.tasks import TASKS as RESULTS
from ledger.trial import Trial
from sldd.backbones.start import PRETRAINED
from sldd.data.cohort import Cohort
from sldd.data.concat import JoinedFilms, join_splits
from sldd.data.patches import PatchSettings
from sldd.data.split import Split
from sldd.data.whole_films import WholeFilms
from sldd.pipeline.task_data import FindingData, check_labels
from study.config.schema import StudyConfig
from study.config.tasks.base import Learned, Objective, by_seed, mean, spread
from study.config.tasks.films import FilmsTask, WholeFilmData
from study.grid.axes import Cell, GridSettings
from study.grid.spec import Score, TrialSpec


class FilmData(FindingData, WholeFilmData):
    """Whole films with their findings."""

    def learned(self, spec: TrialSpec, config: StudyConfig, *, augment: bool) -> Learned:
        drawn = self.augmented(config.augment) if augment else self.batches
        return Learned(self.evaluator(), drawn, self.batches)


class _Multilabel(FilmsTask[FilmData]):
    name, results = "multilabel", RESULTS["multilabel"]
    searches_delta = False
    label_starts = FilmData.label_starts

    def with_defaults(self, tree: dict[str, Any]) -> dict[str, Any]:
        if "grid" not in tree:
            return tree
        blocks = tree["grid"] if isinstance(tree["grid"], list) else [tree["grid"]]
        return tree | {
            "distill": {"labels": "sigmoid"} | tree.get("distill", {}),
            "grid": [{"label_init": self.label_starts[0]} | block for block in blocks],
        }

    def check(self, config: StudyConfig) -> None:
        self.refuse_patches(config, "films with findings")
        check_labels("multilabel", config.search.options.get("labels", [config.distill.labels]))

    def mismatch(self, cohort: Cohort) -> str | None:
        if cohort.classes:
            return None
        return "have no findings, which task=multilabel is about; use another source or task=patches"

    def training_cells(self, cell: Cell, block: GridSettings) -> Iterator[Cell]:
        """After each of the block's chains."""
        cell = replace(cell, train_view="whole")
        for chain, transfer in itertools.product(block.chain, block.transfer):
            start, after = cell.start, tuple(chain)
            if transfer != "mixed" and after[:1] == (PRETRAINED,):
                start, after = PRETRAINED, after[1:]
            if transfer == "regular" or len(after) > 1:
                yield replace(cell, start=start, chain=after, transfer=transfer if after else None)

    def data(self, cohort: Cohort, settings: PatchSettings, split: Split) -> FilmData:
        return FilmData(WholeFilms(cohort, settings.input_size, *cohort.intensity(split.train)), split)

    def joined(self, parts: Sequence[FilmData]) -> FilmData:
        if len(parts) == 1:
            return parts[0]
        films = JoinedFilms([part.films for part in parts])
        return FilmData(films, join_splits([part.split for part in parts], [part.cohort.patients for part in parts]))

    def objective(self, validation: Mapping[str, Any], score: Score) -> Objective:
        """By either score: macro AUC, macro average precision, and how rarely a finding is called wrongly."""
        hamming = validation["hamming_loss"]
        wrong = 1.0 if hamming is None else hamming
        return (validation["auc"] or 0.0, validation["average_precision"] or 0.0, 1.0 - wrong)

    def run_scores(self, confirmed: Iterable[Trial], folds: int) -> list[float]:
        """Mean AUC over the findings, all films of a run together."""
        return [run.auc for run in self._runs(confirmed, folds)]

    def _runs(self, confirmed: Iterable[Trial], folds: int) -> list[FilmRun]:
        pooled = [pooled_film_run(results) for results in by_seed(confirmed, folds)]
        return [run for run in pooled if run is not None]

    def columns(self, confirmed: Sequence[Trial], folds: int) -> dict[str, str]:
        tested = [(trial.result or {})["test"] for trial in confirmed]
        runs = self._runs(confirmed, folds)
        return {
            "test AUC": spread(None if math.isnan(run.auc) else run.auc for run in runs),
            "average precision": mean(None if math.isnan(run.ap) else run.ap for run in runs),
            "Hamming loss": mean(test["hamming_loss"] for test in tested),
            "classes": str(min(test["defined_classes"] for test in tested)) if tested else "-",
        }


MULTILABEL = _Multilabel()
