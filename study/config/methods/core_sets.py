"""Core sets: real patches chosen by their features at the start, in the place of ``random_real``'s."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from sldd.distillation.alternatives.core_sets import CANDIDATES, Choice, core_set, herding, k_center
from sldd.distillation.image_learner import DistillSettings
from sldd.rng import stream
from study.config.methods.distilling import Distilling
from study.config.schema import StudyConfig
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.grid.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class _CoreSet(Distilling):
    """Real patches, chosen by their features, that stay as they are.

    Attributes:
        choose: chooses images of one class from their features.
    """

    choose: Choice

    def refusal(self, cell: Cell, config: StudyConfig, data: TaskData) -> str | None:
        assert cell.images is not None
        assert cell.label_init is not None
        wanted = data.image_classes(data.initial_labels(cell.label_init, cell.images, config.seed))
        if wanted is None:
            return f"{self.name} chooses films of a class, and a film has several findings; use random_real"
        for number, size in enumerate(data.class_sizes):
            asked, there = wanted.count(number) * (cell.distill_steps or 1), min(CANDIDATES, size)
            if asked > there:
                name = data.input.classes[number]
                return f"{self.name} chooses from {there} of class {name}, and is to find {asked}; ask for fewer images"
        return super().refusal(cell, config, data)

    def first_images(
        self, spec: TrialSpec, network: nn.Module, data: TaskData, distill: DistillSettings, labels: torch.Tensor
    ) -> torch.Tensor:
        steps, wanted = spec.cell.distill_steps or 1, data.image_classes(labels)
        assert wanted is not None
        sizes = data.class_sizes
        classes: list[int] = []  # of the candidates: in each turn one of every class that has one left
        for turn in range(CANDIDATES):
            classes += [number for number, size in enumerate(sizes) if turn < size]
        candidates = data.of_classes(stream(spec.seed, "core set"), classes)
        chosen = core_set(self.choose, network, candidates, classes, wanted * steps)
        return chosen.unflatten(0, (steps, len(wanted)))


HERDING = _CoreSet(
    name="herding",
    label="herding",
    no_package="herding leaves no package: its images are patients' own",
    learned=("labels", "rates"),
    choose=herding,
    control=True,
)
HERDING_HARD = replace(HERDING, name="herding_hard", label="herding, hard labels", learned=("rates",))
K_CENTER = replace(
    HERDING,
    name="k_center",
    label="k-center",
    no_package="k_center leaves no package: its images are patients' own",
    choose=k_center,
)
K_CENTER_HARD = replace(K_CENTER, name="k_center_hard", label="k-center, hard labels", learned=("rates",))
