"""Axes -> cells. A cell is one point of the grid; the search happens inside it."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from sldd.start import FILE_ENDINGS, PRETRAINED, XAVIER

Method = Literal["sldd", "dd", "random_real", "train"]
Norm = Literal["as_is", "batch", "none", "group", "instance"]
TrainClasses = Literal["INP", "NP"]
TrainView = Literal["patches", "whole"]
LabelInit = Literal["one_hot", "smoothed", "uniform", "constant:I", "constant:N", "constant:P"]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _distinct(values: list[Any]) -> list[Any]:
    repeated = [value for value in values if values.count(value) > 1]
    if repeated:
        raise PydanticCustomError("repeated", "the value {value} is listed twice", {"value": repr(repeated[0])})
    return values


def _known_start(start: str) -> str:
    if start not in (XAVIER, PRETRAINED) and not start.endswith(FILE_ENDINGS):
        raise PydanticCustomError(
            "start",
            "neither xavier nor pretrained nor a file of weights ({endings})",
            {"endings": ", ".join(FILE_ENDINGS)},
        )
    return start


def _told_apart(starts: list[str]) -> list[str]:
    stems = [Path(start).stem for start in starts]
    repeated = [stem for stem in stems if stems.count(stem) > 1]
    if repeated:
        raise PydanticCustomError(
            "stem", "two starts are called {stem}, and so would their cells be; rename one", {"stem": repeated[0]}
        )
    return starts


# A single value is an axis of one point: grid.images=3.
_as_axis, _points = BeforeValidator(_as_list), AfterValidator(_distinct)


@dataclass(frozen=True)
class GridSettings:
    """The axes. Cells are their product; what a method does not have (``train`` has no images) makes no cells."""

    backbone: Annotated[list[str], _as_axis, MinLen(1), _points]
    images: Annotated[list[Annotated[int, Ge(1)]], _as_axis, MinLen(1), _points]
    method: Annotated[list[Method], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["sldd"])
    label_init: Annotated[list[LabelInit], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["one_hot"])
    norm: Annotated[list[Norm], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["as_is"])
    start: Annotated[
        list[Annotated[str, AfterValidator(_known_start)]], _as_axis, MinLen(1), _points, AfterValidator(_told_apart)
    ] = field(default_factory=lambda: [XAVIER])
    """``xavier``, ``pretrained``, or a file of weights."""
    distill_steps: Annotated[list[Annotated[int, Ge(1)]], _as_axis, MinLen(1), _points] = field(
        default_factory=lambda: [1]
    )
    distill_epochs: Annotated[list[Annotated[int, Ge(1)]], _as_axis, MinLen(1), _points] = field(
        default_factory=lambda: [1]
    )
    train_patches: Annotated[list[Annotated[int, Ge(1)] | None], _as_axis, MinLen(1), _points] = field(
        default_factory=lambda: [None]
    )
    """Real patches a class for ordinary training, drawn anew with every seed; null for all there are."""
    train_classes: Annotated[list[TrainClasses], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["INP"])
    """Classes that ordinary training sees: all, or N and P only. The network has three outputs all the same."""
    train_view: Annotated[list[TrainView], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["patches"])
    """What ordinary training sees: patches, or whole radiographs scaled down, which are N or P and need no mask."""


@dataclass(frozen=True)
class Cell:
    """One point of the grid. Ordinary training has no images, label start, distill steps or epochs; nothing else has a
    number of patches or a choice of classes."""

    backbone: str
    method: Method
    norm: Norm
    images: int | None = None
    label_init: LabelInit | None = None
    distill_steps: int | None = None
    distill_epochs: int | None = None
    start: str = XAVIER
    train_patches: int | None = None
    train_classes: TrainClasses | None = None
    train_view: TrainView | None = None

    @property
    def name(self) -> str:
        """The cell's folder name: ``test_resnet-m3-one_hot-as_is-sldd-s1e1``."""
        parts = [self.backbone]
        if self.images is not None:
            parts += [f"m{self.images}", str(self.label_init)]
        parts += [self.norm, self.method]
        if self.train_patches is not None:
            parts.append(f"n{self.train_patches}")
        if self.train_view == "whole":
            parts.append("whole")
        elif self.train_classes == "NP":
            parts.append("NP")
        if self.start != XAVIER:
            parts.append(Path(self.start).stem)
        if self.distill_steps is not None:
            parts.append(f"s{self.distill_steps}e{self.distill_epochs}")
        return re.sub(r"[^A-Za-z0-9_.=-]", "=", "-".join(parts))


def cells(grid: GridSettings) -> list[Cell]:
    """All cells, backbone by backbone, without repeats."""
    found: dict[Cell, None] = {}
    for backbone, start, method, norm in itertools.product(grid.backbone, grid.start, grid.method, grid.norm):
        cell = Cell(backbone, method, norm, start=start)
        if method == "train":
            for view, patches, classes in itertools.product(grid.train_view, grid.train_patches, grid.train_classes):
                patches, classes = (patches, classes) if view == "patches" else (None, "NP")
                found[replace(cell, train_view=view, train_patches=patches, train_classes=classes)] = None
            continue
        for label_init, steps, epochs, images in itertools.product(
            grid.label_init, grid.distill_steps, grid.distill_epochs, grid.images
        ):
            distilled = replace(cell, images=images, label_init=label_init)
            found[replace(distilled, distill_steps=steps, distill_epochs=epochs)] = None
    return list(found)
