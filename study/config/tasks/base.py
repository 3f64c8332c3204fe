"""Base classes of tasks: settings that go with a task, its training and validation data, and its scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from analysis.records.tasks import TaskResults
from ledger.trial import Trial
from sldd.data.augment import AugmentSettings
from sldd.data.cohort import Cohort
from sldd.data.patches import PatchSettings
from sldd.data.prefetch import BatchSource
from sldd.data.split import Split
from sldd.metrics.evaluators import DIGITS, Evaluator, rounded
from sldd.pipeline import task_data as pipeline
from sldd.privacy_attacks.views import Views
from study.config.schema import StudyConfig
from study.grid.axes import Cell, GridSettings
from study.grid.spec import Score, TrialSpec

Objective = tuple[float, float, float]
"""Scores that trials are ordered by, the first before the rest; higher is better."""


@dataclass(frozen=True)
class Learned:
    """What a trial learns from.

    Attributes:
        evaluator: scores its states on validation patients.
        drawn: batches that it trains on.
        measured: batches that batch-norm statistics are measured over; never augmented.
    """

    evaluator: Evaluator
    drawn: BatchSource
    measured: BatchSource


class TaskData(pipeline.TaskData):
    """Data that a study's cells are trained and scored on.

    Attributes:
        views: of patients, for the attacks on packages; None where there are none of its kind.
    """

    views: Views | None = None

    @abstractmethod
    def learned(self, spec: TrialSpec, config: StudyConfig, *, augment: bool) -> Learned:
        """What a trial learns from.

        Args:
            augment: whether the images that it trains on are augmented, where the task supports that.
        """

    def augmented(self, settings: AugmentSettings) -> BatchSource:
        """Training batches, augmented as the settings say where the task supports it."""
        return self.batches

    @abstractmethod
    def scored(self, cell: Cell) -> int:
        """Number of images that one evaluation on validation patients scores."""

    @property
    @abstractmethod
    def drawn_words(self) -> str:
        """What batches are drawn from, in words."""

    def refusal(self, cell: Cell) -> str | None:
        """Why a cell cannot be trained on it; None where it can."""
        return None


Data = TypeVar("Data", bound=TaskData)


class Task(ABC, Generic[Data]):
    """Task of a study; one value of ``task``.

    Attributes:
        name: as in settings and records.
        results: how they are read; of a task that analysis does not know, those of one that it does, with other words.
        searches_delta: whether a threshold on a patient's score is searched, unless it is fixed.
        label_starts: what ``grid.label_init`` may be, the usual one first.
    """

    name: ClassVar[str]
    results: ClassVar[TaskResults]
    searches_delta: ClassVar[bool]
    label_starts: ClassVar[tuple[str, ...]]

    @property
    def score(self) -> str:
        """What cells are compared by, as results and histories call it."""
        return self.results.score

    def with_defaults(self, tree: dict[str, Any]) -> dict[str, Any]:
        """The configuration's tree with this task's defaults filled in."""
        return tree

    def check(self, config: StudyConfig) -> None:
        """Raise an InputError where a setting does not go with the task."""

    @abstractmethod
    def mismatch(self, cohort: Cohort) -> str | None:
        """Why films do not suit the task, to follow a word for them; None where they do."""

    @abstractmethod
    def training_cells(self, cell: Cell, block: GridSettings) -> Iterator[Cell]:
        """A cell of ordinary training, at every point of the axes that it has here."""

    @abstractmethod
    def data(self, cohort: Cohort, settings: PatchSettings, split: Split) -> Data:
        """Training and scoring data of a cohort's patients.

        Raises:
            InputError: a part of them cannot be.
        """

    @abstractmethod
    def joined(self, parts: Sequence[Data]) -> Data:
        """The data of several collections as one."""

    @abstractmethod
    def objective(self, validation: Mapping[str, Any], score: Score) -> Objective:
        """What results are ordered by, from a result's scores on validation patients.

        Args:
            score: as of ``search.score``.
        """

    @abstractmethod
    def run_scores(self, confirmed: Iterable[Trial], folds: int) -> list[float]:
        """The score on test patients of each run that has all of its folds; NaN where undefined."""

    @abstractmethod
    def columns(self, confirmed: Sequence[Trial], folds: int) -> dict[str, str]:
        """Columns of a cell in the table at a study's end, by title."""

    def main_score(self, scores: Mapping[str, Any], prefix: str = "") -> float:
        """The score that cells are compared by, of a result's or history's scores; 0 where undefined.

        Args:
            prefix: of the scores' names: ``val_`` in a history.
        """
        return float(scores.get(prefix + self.score) or 0.0)

    def compared(self, scores: Mapping[str, Any], score: Score, prefix: str = "") -> float:
        """What search trials are compared by first, of a result's or history's scores, as of ``main_score``."""
        if score == "headline":
            return round(self.main_score(scores, prefix), DIGITS)
        return rounded(self.objective({name.removeprefix(prefix): each for name, each in scores.items()}, score))[0]

    def worth(self, result: Mapping[str, Any], score: Score = "headline") -> Objective:
        """``objective`` of a trial's result; the lowest value where it has none."""
        validation = result.get("validation")
        if result["status"] != "done" or validation is None:
            return (0.0, 0.0, 0.0)
        return rounded(self.objective(validation, score))


def by_seed(confirmed: Iterable[Trial], folds: int) -> list[list[dict[str, Any]]]:
    """Results of the seeds that have all of their folds; trials of one cell, or of its folds' cells."""
    seeds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for trial in confirmed:
        seeds[TrialSpec.of(trial).seed].append(trial.result or {})
    return [results for _, results in sorted(seeds.items()) if len(results) == folds]


def mean(values: Iterable[float | None]) -> str:
    """Mean of the values that are defined, to two digits; ``-`` without any."""
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.2f}" if known else "-"


def spread(values: Iterable[float | None]) -> str:
    """``mean`` with the range of the values."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) < 2 else f"{mean(known)} ({min(known):.2f} to {max(known):.2f})"
