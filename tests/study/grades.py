"""A task that is not ours, in one file: images of grades in an order, whose labels begin between their neighbours."""

from __future__ import annotations

from dataclasses import replace

import torch

from sldd.data.cohort import Cohort
from sldd.data.patches import PatchSettings
from sldd.data.split import Split
from study.config.tasks.classes import CLASSES, ClassData


class Graded(ClassData):
    """Images with their grades."""

    def initial_labels(self, start: str, images: int, seed: int) -> torch.Tensor:
        labels = super().initial_labels(start, images, seed)
        return (labels + labels.roll(1, 1)) / 2


class _Grades(type(CLASSES)):  # type: ignore[misc]
    name, results = "grades", replace(CLASSES.results, word="mean sensitivity", seen="graded images")

    def data(self, cohort: Cohort, settings: PatchSettings, split: Split) -> Graded:
        return Graded(super().data(cohort, settings, split).films, split)


GRADES = _Grades()
