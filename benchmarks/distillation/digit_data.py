"""Digits as the data of a study's task: what methods ask of it, and who may be used for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.distillation.digits import Digits
from sldd.data.prefetch import draw_rows, in_turns
from sldd.distillation.initial.images import real_images
from sldd.distillation.initial.labels import class_labels, classes_of
from sldd.metrics.evaluators import Evaluator
from sldd.ops.types import InputSpec
from sldd.training.losses import CROSS_ENTROPY
from study.config.tasks.base import Learned, TaskData
from study.grid.axes import Cell
from study.grid.spec import TrialSpec

CLASSES = 10


class DigitData(TaskData):
    """Digits that methods learn from; what scores states is not here, but in ``benchmarks.distillation.method_run``."""

    loss, fewest = CROSS_ENTROPY, CLASSES

    def __init__(self, digits: Digits) -> None:
        self.digits, self.batches, self.size = digits, self, len(digits.classes)
        self._of_class = [torch.nonzero(digits.classes == number)[:, 0] for number in range(CLASSES)]
        self.input = InputSpec(28, tuple(map(str, range(CLASSES))), 0.1307, 0.3081, exclusive=True)

    def draw(self, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """As of ``BatchSource``, classes ``in_turns``."""
        classes = in_turns(random, count, CLASSES)
        return self.of_classes(random, classes.tolist(), apart=False), torch.from_numpy(classes)

    @property
    def class_sizes(self) -> list[int]:
        return list(map(len, self._of_class))

    def of_classes(self, random: np.random.Generator, classes: Sequence[int], *, apart: bool = True) -> torch.Tensor:
        rows = draw_rows(random, self.class_sizes, classes, apart=apart)
        return self.digits.images[[int(self._of_class[each][row]) for each, row in zip(classes, rows, strict=True)]]

    def image_classes(self, labels: torch.Tensor) -> list[int]:
        """The class that a label has most of; of evenly spread ones, each class in turn."""
        return classes_of(labels, [row % CLASSES for row in range(len(labels))])

    def initial_labels(self, start: str, images: int, seed: int) -> torch.Tensor:
        return class_labels(start, images, CLASSES)

    def real_images(self, labels: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
        return real_images(steps=steps, classes=self.image_classes(labels), seed=seed, batches=self)

    def evaluator(self, delta: float | None = None) -> Evaluator:
        raise NotImplementedError

    def learned(self, spec: TrialSpec, config: Any, *, augment: bool) -> Learned:
        raise NotImplementedError

    def scored(self, cell: Cell) -> int:
        raise NotImplementedError

    @property
    def drawn_words(self) -> str:
        raise NotImplementedError


class Parts(NamedTuple):
    """MNIST's 10,000 test digits by what they are for, in the file's order."""

    train: DigitData
    """7,500 to learn from."""
    chooser: Digits
    """500 that choose the state."""
    test: Digits
    """2,000, looked at once."""

    @classmethod
    def of(cls, digits: Digits) -> Parts:
        """The parts of all digits."""
        return cls(DigitData(digits.part(0, 7500)), digits.part(7500, 8000), digits.part(8000, 10_000))
