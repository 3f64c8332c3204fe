"""Distillation methods: each learns some of images, soft labels and inner rates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from optuna.distributions import CategoricalDistribution
from torch import nn

from sldd.data.augment import AugmentSettings
from sldd.distillation.distill import Distillation, ungraphable, unsolvable
from sldd.distillation.image_learner import DistillSettings, ImageLearner
from sldd.distillation.initial.images import ImageInit
from sldd.distillation.memory_estimate import needs
from sldd.package.format.header import too_large
from sldd.package.format.package import too_many
from sldd.training.dp_sgd import PrivateGradient
from sldd.training.learner import Learner
from sldd.training.losses import LOSSES, Loss
from sldd.training.outer_settings import OuterSettings
from study.config.methods.base import Method, Space
from study.config.paths import feature_store
from study.config.schema import StudyConfig
from study.config.search_settings import SearchSettings
from study.config.tasks.base import Task, TaskData
from study.grid.axes import Cell, GridSettings
from study.grid.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Distilling(Method):
    """A method whose trials hand over images: distillations, and real images with learned labels or rates. It learns
    through the inner steps of the network with the known start; subclasses may learn otherwise.

    Attributes:
        learned: which of ``images``, ``labels`` and ``rates`` are learned; the others stay as they start.
        image_init: where images start, whatever ``distill.image_init`` says.
    """

    learned: tuple[str, ...]
    image_init: ImageInit | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        shared = ("distill.", "evaluate.", "package.images", "grid.label_init", "grid.distill_", "search.options")
        # Controls have real images: these do not start as ``image_init`` says, and leave no package.
        learned = () if self.control else ("distill.image_init", "package.")
        paces = {"labels": ("distill.label_lr", "distill.label_update"), "rates": ("distill.rate_lr",)}
        return (*shared, "augment.distill", *learned, *(key for part in self.learned for key in paces.get(part, ())))

    def cells(self, cell: Cell, block: GridSettings, task: Task[Any]) -> Iterator[Cell]:
        counted = block.images == "search"
        counts = range(1, block.most_images + 1) if block.images == "search" else block.images
        axes = itertools.product(block.label_init, block.distill_steps, block.distill_epochs, counts)
        for label_init, steps, epochs, images in axes:
            yield replace(
                cell,
                images=images,
                label_init=label_init,
                distill_steps=steps,
                distill_epochs=epochs,
                counted=counted,
            )

    def refusal(self, cell: Cell, config: StudyConfig, data: TaskData) -> str | None:
        private = config.privacy.noise is not None
        if config.compute.cuda_graph:
            for window in _wanted(config, "window"):
                if (reason := ungraphable(replace(config.distill, window=window), private=private)) is not None:
                    return reason
        if self.no_package is None and cell.images is not None:
            if (asked := too_large(config.patches.input_size)) is not None:
                return f"patches.input_size: {asked}; set it lower"
            asked = too_many(cell.distill_epochs or 1, cell.distill_steps or 1, cell.images)
            if asked is not None:
                return f"grid.distill_epochs x grid.distill_steps x grid.images: {asked}; set them lower"
        if "labels" not in self.learned or "solved" not in _wanted(config, "label_update"):
            return None
        return next((reason for reason in _unsolvable(cell, config, data.loss) if reason is not None), None)

    def solves_labels(self, cell: Cell, config: StudyConfig) -> bool:
        """Whether labels of a cell are sure to be solved, whatever the search chooses."""
        if config.task not in LOSSES:  # one's own, whose loss only its data know
            return False
        solved = "labels" in self.learned and "gradient" not in _wanted(config, "label_update")
        return solved and not any(_unsolvable(cell, config, LOSSES[config.task]))

    def search_space(self, settings: SearchSettings, delta: Space) -> Space:
        options = {name: CategoricalDistribution(choices) for name, choices in settings.options.items()}
        return {**super().search_space(settings, delta), **options}

    def outer_settings(self, config: StudyConfig, size: int, epochs: int | None) -> OuterSettings:
        return config.outer.over(size, epochs)

    def augments(self, settings: AugmentSettings) -> bool:
        return settings.distill

    def timed(self, config: StudyConfig) -> StudyConfig:
        # Launched as they are: where a plan is made there may be no GPU, and the two calls that are timed record none.
        compute = replace(config.compute, cuda_graph=False)
        return replace(config, distill=replace(config.distill, window=None), compute=compute)

    def memory(self, network: nn.Module, cell: Cell, config: StudyConfig, outer: OuterSettings, data: TaskData) -> int:
        """The largest over the options, where the search chooses which weights inner steps change."""
        assert cell.images is not None
        bank = min(config.distill.feature_bank, outer.steps * outer.batch_size)
        wanted = []
        for part in _wanted(config, "inner_weights"):
            need = needs(
                network,
                images=cell.images,
                side=data.input.side,
                channels=data.input.channels,
                batch=outer.batch_size,
                compute=config.compute,
                inner_weights=part,
                loss=data.loss,
            )
            wanted.append(need.distilling(cell.inner_steps, config.compute.memory, bank))
        return max(wanted)

    def learner(
        self,
        spec: TrialSpec,
        network: nn.Module,
        data: TaskData,
        config: StudyConfig,
        device: torch.device,
        private: PrivateGradient | None = None,
    ) -> Learner:
        cell, distill = spec.cell, spec.distill(config.distill)
        assert cell.images is not None
        assert cell.label_init is not None
        labels = data.initial_labels(cell.label_init, cell.images, spec.seed)
        images = self.first_images(spec, network, data, distill, labels)
        return self.made(
            cell,
            data,
            config,
            private,
            network=network,
            images=images,
            labels=labels,
            epochs=cell.distill_epochs,
            inner_lr=spec.inner_lr,
            learned=self.learned,
            settings=distill,
            compute=config.compute,
            track_statistics=config.outer.statistics == "exponential",
            loss=data.loss,
            seed=spec.seed,
            device=device,
        )

    def made(
        self, cell: Cell, data: TaskData, config: StudyConfig, private: PrivateGradient | None, **given: Any
    ) -> ImageLearner:
        """The cell's learner.

        Args:
            private: makes the outer gradient private; None where it is not.
            given: arguments of ``ImageLearner``: images are (S, M, channels, side, side), labels (M, classes).
        """
        return Distillation(private=private, store=feature_store(config), **given)

    def first_images(
        self, spec: TrialSpec, network: nn.Module, data: TaskData, distill: DistillSettings, labels: torch.Tensor
    ) -> torch.Tensor:
        """(S, M, channels, side, side): images as they start.

        Args:
            network: the receiver's, at its start.
            labels: (M, classes), the soft labels of the M images as they start.
        """
        start = self.image_init or distill.image_init
        return data.initial_images(start, labels, spec.cell.distill_steps or 1, spec.seed)


def _wanted(config: StudyConfig, name: str) -> list[Any]:
    """What a setting of ``distill`` may be: the choices of the search, or what is set."""
    choices: list[Any] = config.search.options.get(name, [getattr(config.distill, name)])
    return choices


def _unsolvable(cell: Cell, config: StudyConfig, loss: Loss) -> Iterator[str | None]:
    """Why labels of a cell cannot be solved, at each of the search's choices; None where they can."""
    private = config.privacy.noise is not None
    for part, labels in itertools.product(_wanted(config, "inner_weights"), _wanted(config, "labels")):
        settings = replace(config.distill, inner_weights=part, labels=labels)
        yield unsolvable(settings, loss, inner_steps=cell.inner_steps, private=private)
