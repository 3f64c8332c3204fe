"""Methods that match: images are learned beside other networks, and their rates follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import nn

from sldd.backbones.registry import build
from sldd.distillation.alternatives.matching import Matching
from sldd.distillation.image_learner import ImageLearner
from sldd.training.dp_sgd import PrivateGradient
from study.config.methods.distilling import Distilling
from study.config.schema import StudyConfig
from study.config.tasks.base import TaskData
from study.grid.axes import Cell


@dataclass(frozen=True, kw_only=True)
class Matched(Distilling):
    """A distillation by matching: images are learned beside other networks, so that these get from them what they get
    from real ones (such as features, gradients, a course of training), and not through the inner steps of the network
    with the known start.

    Attributes:
        learns: class of the learner.
        by_class: whether each class is matched on its own, so that each needs an image.
        match_settings: beginnings of the settings of ``match`` that it reads, beside ``networks``.
    """

    ranges: ClassVar[Mapping[str, str]] = {"outer_lr": "outer_lr", "inner_lr": "receiver_lr"}

    learns: type[Matching]
    by_class: bool = True
    match_settings: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        return (*super().reads, *(f"match.{name}" for name in ("networks", *self.match_settings)))

    def refusal(self, cell: Cell, config: StudyConfig, data: TaskData) -> str | None:
        options, classes = config.search.options, len(data.input.classes)
        assert cell.images is not None
        assert cell.label_init is not None
        for name, fits in (("inner_weights", ["all"]), ("window", [None]), ("label_update", ["auto", "gradient"])):
            if not set(options.get(name, [getattr(config.distill, name)])) <= set(fits):
                only = "null" if fits[0] is None else fits[0]
                return f"{self.name} takes no inner steps to learn by: distill.{name} is for sldd and dd; set {only}"
        found = data.image_classes(data.initial_labels(cell.label_init, cell.images, config.seed))
        if found is None:
            return f"{self.name} is about images of one class each, and a film has several findings; use sldd"
        if self.by_class and len(set(found)) < classes:
            return f"{self.name} matches class by class, and {len(set(found))} of {classes} have an image; ask for more"
        return super().refusal(cell, config, data)

    def solves_labels(self, cell: Cell, config: StudyConfig) -> bool:
        return False

    def timed_steps(self, cell: Cell) -> int:
        return 1

    def made(
        self, cell: Cell, data: TaskData, config: StudyConfig, private: PrivateGradient | None, **given: Any
    ) -> ImageLearner:
        classes, told = data.image_classes(given["labels"]), data.input
        assert classes is not None
        blank = build(
            cell.backbone,
            input_size=told.side,
            norm=cell.norm,
            channels=told.channels,
            classes=len(told.classes),
        ).to(given["device"])
        settings = given.pop("settings")
        if "labels" in self.learned:
            settings = replace(settings, labels="softmax")  # a receiver that trains on them to the end needs shares
        beside = self.beside(blank, data, config)
        return self.learns(settings=settings, classes=classes, match=config.match, blank=blank, **beside, **given)

    def beside(self, blank: nn.Module, data: TaskData, config: StudyConfig) -> dict[str, Any]:
        """Keyword arguments of the learner that only this method has.

        Args:
            blank: the cell's network as it is built, before its start is set.
        """
        return {}
