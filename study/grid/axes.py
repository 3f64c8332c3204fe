"""The axes of a grid, and a cell: one point of it, inside which the search happens.

A study's grid is one block of axes, or several whose cells are put together: the networks of one table and the
comparison methods of another rarely share all their axes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen
from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag
from pydantic_core import PydanticCustomError

from sldd.backbones.start import FILE_ENDINGS, NEAR_LINEAR, PRETRAINED, SEEDED, XAVIER

Norm = Literal["as_is", "batch", "none", "group", "instance"]
TrainClasses = Literal["INP", "NP"]
TrainView = Literal["patches", "whole"]
Transfer = Literal["regular", "mixed", "co_trained"]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _distinct(values: list[Any]) -> list[Any]:
    repeated = [value for value in values if values.count(value) > 1]
    if repeated:
        raise PydanticCustomError("repeated", "the value {value} is listed twice", {"value": repr(repeated[0])})
    return values


def _known_start(start: str) -> str:
    if start not in SEEDED and start != PRETRAINED and not start.endswith(FILE_ENDINGS):
        raise PydanticCustomError(
            "start",
            "neither {seeded} nor pretrained nor a file of weights ({endings})",
            {"seeded": ", ".join(SEEDED), "endings": ", ".join(FILE_ENDINGS)},
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


def _as_chains(value: Any) -> Any:
    """``nih`` and ``[nih, chexpert]`` are one chain, as is the empty one."""
    chains = _as_list(value)
    return chains if chains and all(isinstance(chain, list | tuple) for chain in chains) else [chains]


# A single value is an axis of one point: grid.images=3.
_as_axis, _points = BeforeValidator(_as_list), AfterValidator(_distinct)
IMAGES = ("listed images", "searched images")
"""Pydantic's names for the two kinds of ``grid.images``."""
Images = Annotated[
    Annotated[list[Annotated[int, Ge(1)]], _as_axis, MinLen(1), _points, Tag(IMAGES[0])]
    | Annotated[Literal["search"], Tag(IMAGES[1])],
    Discriminator(lambda value: IMAGES[value == "search"]),
]


@dataclass(frozen=True)
class GridSettings:
    """The axes. Cells are their product; what a method does not have makes no cells."""

    backbone: Annotated[list[str], _as_axis, MinLen(1), _points]
    """timm names, ``torchvision/NAME``, ``paper/NAME`` for the six of Li et al. (2022), ``convnet``, ``lenet``."""
    images: Images
    """Image counts; ``search`` looks for the smallest that suffices instead, among 1 to ``most_images``."""
    method: Annotated[list[str], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["sldd"])
    """How a cell's network is made: from distilled images, or from what these are compared with."""
    label_init: Annotated[list[str], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["one_hot"])
    """Where soft labels start; ``single``, ``clusters`` and ``prior`` are those of films with several findings."""
    norm: Annotated[list[Norm], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["as_is"])
    """The network's normalisation as it is, or every one replaced."""
    start: Annotated[
        list[Annotated[str, AfterValidator(_known_start)]], _as_axis, MinLen(1), _points, AfterValidator(_told_apart)
    ] = field(default_factory=lambda: [NEAR_LINEAR])
    """``near_linear``: Xavier weights with norms shifted by depth, from which deep networks with batch norm learn as
    well; ``xavier``, the papers' start; ``pretrained``; a file of weights; or a package, for the network that it
    stands for."""
    distill_steps: Annotated[list[Annotated[int, Ge(1)]], _as_axis, MinLen(1), _points] = field(
        default_factory=lambda: [1]
    )
    """S: batches of distilled images, an inner step each."""
    distill_epochs: Annotated[list[Annotated[int, Ge(1)]], _as_axis, MinLen(1), _points] = field(
        default_factory=lambda: [1]
    )
    """E: how often these are repeated."""
    train_patches: Annotated[list[Annotated[int, Ge(1)] | None], _as_axis, MinLen(1), _points] = field(
        default_factory=lambda: [None]
    )
    """Real patches a class for ordinary training, drawn anew with every seed; null for all there are."""
    train_classes: Annotated[list[TrainClasses], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["INP"])
    """Classes that ordinary training sees: all, or N and P only. The network has three outputs all the same."""
    train_view: Annotated[list[TrainView], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["patches"])
    """What ordinary training sees: patches, or whole radiographs scaled down, which are N or P and need no mask."""
    chain: Annotated[list[list[str]], BeforeValidator(_as_chains), MinLen(1), _points] = field(
        default_factory=lambda: [[]]
    )
    """Collections (``sources``) on which a network is trained before the study's own patients: ``[[], [nih], [nih,
    chexpert]]``. Ordinary training of films with findings only. ``pretrained`` may come first: published weights."""
    transfer: Annotated[list[Transfer], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["regular"])
    """What becomes of a chain. ``regular``: one collection after the other. ``mixed``: a network for each, their
    features side by side. ``co_trained``: one network on all at once. The last two need two collections or more."""
    most_images: Annotated[int, Ge(2)] = 6
    """The largest image count that ``images: search`` may try; it is tried first, for what is best."""
    epochs: Annotated[int, Ge(1)] | None = None
    """Outer epochs of this block's cells, where they are not those of ``outer``."""


@dataclass(frozen=True)
class Cell:
    """One point of the grid. Ordinary training has no images, label start, distill steps or epochs; nothing else has a
    number of patches or a choice of classes. Where folds rotate, each has a cell of its own."""

    backbone: str
    method: str
    norm: Norm
    images: int | None = None
    label_init: str | None = None
    distill_steps: int | None = None
    distill_epochs: int | None = None
    start: str = XAVIER
    train_patches: int | None = None
    train_classes: TrainClasses | None = None
    train_view: TrainView | None = None
    epochs: int | None = None
    fold: int | None = None
    """Counted from 0; its patients are tested, the others train and validate."""
    chain: tuple[str, ...] = ()
    """Collections that its network was trained on before; of a ``mixed`` model perhaps ``pretrained``."""
    transfer: Transfer | None = None
    stage: str | None = None
    """What it trains on where that is not the study's own patients: a collection, or several at once, ``nih+chexpert``.
    Then it is a means to an end: other cells start from its network."""
    counted: bool = False
    """True where the image count is searched: whether this one is run depends on how others do."""

    @property
    def inner_steps(self) -> int:
        """S x E; 0 for what is not distilled."""
        return (self.distill_steps or 0) * (self.distill_epochs or 0)

    @property
    def name(self) -> str:
        """The cell's folder name: ``test_resnet-m3-one_hot-as_is-sldd-near_linear-s1e1``."""
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
        if self.chain:
            parts += [str(self.transfer), *self.chain]
        if self.stage is not None:
            parts.append(f"on={self.stage}")
        if self.distill_steps is not None:
            parts.append(f"s{self.distill_steps}e{self.distill_epochs}")
        if self.epochs is not None:
            parts.append(f"t{self.epochs}")
        if self.fold is not None:
            parts.append(f"f{self.fold}")
        return re.sub(r"[^A-Za-z0-9_.=-]", "=", "-".join(parts))


def common_cells(block: GridSettings) -> Iterator[Cell]:
    """A cell at every point of the axes that all methods have; each method spans its own from there."""
    for backbone, start, method, norm in itertools.product(block.backbone, block.start, block.method, block.norm):
        yield Cell(backbone, method, norm, start=start, epochs=block.epochs)
