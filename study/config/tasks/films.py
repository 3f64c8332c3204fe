"""Base of tasks about whole films, scaled to the network's input."""

from __future__ import annotations

from sldd.data.augment import Augmented, AugmentSettings
from sldd.data.prefetch import BatchSource
from sldd.errors import InputError
from study.config.schema import StudyConfig
from study.config.tasks.base import Data, Task, TaskData
from study.grid.axes import Cell


class WholeFilmData(TaskData):
    """Whole films of patients; what their labels are is the task's."""

    def augmented(self, settings: AugmentSettings) -> BatchSource:
        return Augmented(self.batches, settings)

    def scored(self, cell: Cell) -> int:
        return sum(len(self.cohort.films_of[patient]) for patient in self.split.validation)

    @property
    def drawn_words(self) -> str:
        return f"{self.size:,} training {self.cohort.words[1]}s"


class FilmsTask(Task[Data]):
    """Base class of such tasks."""

    searches_delta = False

    def refuse_patches(self, config: StudyConfig, films: str) -> None:
        """Raise an InputError where a setting is about patches of patients with one label."""
        for block in config.grid:
            if block.images == "search":
                raise InputError("grid.images: list the counts; searching them is for patients with one label")
            for name, only in (("train_patches", [None]), ("train_classes", ["INP"])):
                if getattr(block, name) != only:
                    raise InputError(f"grid.{name}: training on {films} has no such choice; leave it out")
        if config.privacy.noise is not None:
            raise InputError(
                f"privacy.noise: is for patches of patients with one label; leave it out with task={self.name}"
            )
        if config.protocol != "validation":
            raise InputError(
                f"protocol: the papers' is for patients with one label; leave it out with task={self.name}"
            )
