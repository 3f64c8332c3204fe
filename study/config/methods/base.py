"""Base class of methods: axes of the grid, search space, budget, memory, and the learner that a trial trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import nn

from sldd.data.augment import AugmentSettings
from sldd.training.dp_sgd import PrivateGradient
from sldd.training.learner import Learner
from sldd.training.outer_settings import OuterSettings
from study.config.schema import StudyConfig
from study.config.search_settings import SearchSettings
from study.config.tasks.base import Task, TaskData
from study.grid.axes import Cell, GridSettings
from study.grid.spec import TrialSpec

Space = dict[str, BaseDistribution]


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Method of training or distillation; one value of ``grid.method``.

    Attributes:
        name: as in settings, cells' names and records.
        label: as figures call it; ``study.yaml`` keeps it.
        no_package: why its trials leave no package; None where they do. ``study.yaml`` keeps it too.
        control: whether its images are real ones, which others have to beat. ``study.yaml`` keeps it.
        private: whether it can be made private (``privacy.noise``).
        ranges: by rate, the setting of ``search`` that has its range. ``study.yaml`` keeps it.
    """

    ranges: ClassVar[Mapping[str, str]] = {"outer_lr": "outer_lr", "inner_lr": "inner_lr"}

    name: str
    label: str
    no_package: str | None = None
    control: bool = False
    private: bool = False

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """Prefixes of the keys of settings that only some methods read, this one among them.

        A setting under such a prefix does nothing in a grid without a method that lists it, and is then refused. A
        setting that no method lists is read by all. Those in ``ranges`` count as listed.
        """

    @abstractmethod
    def cells(self, cell: Cell, block: GridSettings, task: Task[Any]) -> Iterator[Cell]:
        """Cells of this method: ``cell`` at every point of those axes of the block that the method has."""

    def search_space(self, settings: SearchSettings, delta: Space) -> Space:
        """Search space, by the names that ``TrialSpec.parameters_in`` knows; ``delta`` is the threshold's part."""
        ends = {name: getattr(settings, within) for name, within in self.ranges.items()}
        rates: Space = {name: FloatDistribution(low, high, log=True) for name, (low, high) in ends.items()}
        return rates | delta

    @abstractmethod
    def outer_settings(self, config: StudyConfig, size: int, epochs: int | None) -> OuterSettings:
        """The outer loop's settings, with epochs turned into steps.

        Args:
            size: training images.
            epochs: the cell's own; None where it has the study's.
        """

    @abstractmethod
    def augments(self, settings: AugmentSettings) -> bool:
        """Whether real films are augmented."""

    def refusal(self, cell: Cell, config: StudyConfig, data: TaskData) -> str | None:
        """Why it cannot do what a cell asks, in a line; None where it can."""
        return None

    def timed(self, config: StudyConfig) -> StudyConfig:
        """The configuration with which a plan times one outer step of a cell, reduced to one inner step."""
        return config

    def timed_steps(self, cell: Cell) -> int:
        """How many times an outer step of a cell takes the inner part of that timed step (``StepTime.inner``)."""
        return cell.inner_steps

    @abstractmethod
    def memory(self, network: nn.Module, cell: Cell, config: StudyConfig, outer: OuterSettings, data: TaskData) -> int:
        """Bytes that a trial of a cell needs; the network lies on the meta device.

        Raises:
            InputError: something else than memory has no room for it.
            Exception: whatever the network says of its input, or of second derivatives.
        """

    @abstractmethod
    def learner(
        self,
        spec: TrialSpec,
        network: nn.Module,
        data: TaskData,
        config: StudyConfig,
        device: torch.device,
        private: PrivateGradient | None = None,
    ) -> Learner:
        """The learner that the outer loop trains, at its start."""

    def lent(self, learner: Learner) -> Mapping[int, float]:
        """Core seconds that other trials spent on results that this learner has used (experts of ``mtt``), by the
        result's number; 0 for those that the learner made itself."""
        return {}
