"""Ordinary training of all weights on real images: what a distillation is compared with, on the same budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from sldd.data.augment import AugmentSettings
from sldd.distillation.memory_estimate import needs
from sldd.training.dp_sgd import PrivateGradient
from sldd.training.learner import Learner
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import Training
from study.config.methods.base import Method
from study.config.schema import StudyConfig
from study.config.tasks.base import Task, TaskData
from study.grid.axes import Cell, GridSettings
from study.grid.spec import TrialSpec


class _Train(Method):
    ranges: ClassVar[Mapping[str, str]] = {"outer_lr": "train_lr"}

    @property
    def reads(self) -> tuple[str, ...]:
        return ("train.", "grid.train_", "augment.train")

    def cells(self, cell: Cell, block: GridSettings, task: Task[Any]) -> Iterator[Cell]:
        """What a network is trained on, and after what, is the task's."""
        return task.training_cells(cell, block)

    def outer_settings(self, config: StudyConfig, size: int, epochs: int | None) -> OuterSettings:
        return config.train.budget(config.outer, size, epochs)

    def augments(self, settings: AugmentSettings) -> bool:
        return settings.train

    def memory(self, network: nn.Module, cell: Cell, config: StudyConfig, outer: OuterSettings, data: TaskData) -> int:
        need = needs(
            network,
            images=0,
            side=data.input.side,
            channels=data.input.channels,
            batch=outer.batch_size,
            compute=config.compute,
            loss=data.loss,
        )
        return need.training()

    def learner(
        self,
        spec: TrialSpec,
        network: nn.Module,
        data: TaskData,
        config: StudyConfig,
        device: torch.device,
        private: PrivateGradient | None = None,
    ) -> Learner:
        return Training(
            network,
            device=device,
            compute=config.compute,
            track_statistics=config.outer.statistics == "exponential",
            loss=data.loss,
        )


TRAIN = _Train(name="train", label="ordinary training", no_package="ordinary training has no distilled images")
