"""Axes -> cells. A cell is one point of the grid; the search happens inside it.

A study's grid is one block of axes, or several whose cells are put together: the networks of one table and the
comparison methods of another rarely share all their axes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen
from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag
from pydantic_core import PydanticCustomError

from sldd.backbones.start import FILE_ENDINGS, PRETRAINED, XAVIER
from sldd.errors import InputError
from sldd.ops.types import TaskName

Method = Literal["sldd", "dd", "random_real", "train"]
Norm = Literal["as_is", "batch", "none", "group", "instance"]
TrainClasses = Literal["INP", "NP"]
TrainView = Literal["patches", "whole"]
Transfer = Literal["regular", "mixed", "co_trained"]
LabelInit = Literal[
    "one_hot", "smoothed", "uniform", "constant:I", "constant:N", "constant:P", "single", "clusters", "prior"
]
"""The last three are those of films with several findings."""


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
    """The axes. Cells are their product; what a method does not have (``train`` has no images) makes no cells."""

    backbone: Annotated[list[str], _as_axis, MinLen(1), _points]
    """timm names, ``torchvision/NAME``, ``paper/NAME`` for the six of Li et al. (2022), ``convnet``, ``lenet``."""
    images: Images
    """Image counts; ``search`` looks for the smallest that suffices instead, among 1 to ``most_images``."""
    method: Annotated[list[Method], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["sldd"])
    """``dd``: fixed labels; ``random_real``: real patches with learned labels; ``train``: ordinary training."""
    label_init: Annotated[list[LabelInit], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["one_hot"])
    """Where soft labels start; the last three are those of films with several findings."""
    norm: Annotated[list[Norm], _as_axis, MinLen(1), _points] = field(default_factory=lambda: ["as_is"])
    """The network's normalisation as it is, or every one replaced."""
    start: Annotated[
        list[Annotated[str, AfterValidator(_known_start)]], _as_axis, MinLen(1), _points, AfterValidator(_told_apart)
    ] = field(default_factory=lambda: [XAVIER])
    """``xavier``, ``pretrained``, or a file of weights."""
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


def cells(blocks: Sequence[GridSettings], folds: int | None = None, task: TaskName = "patches") -> list[Cell]:
    """All cells, backbone by backbone within a block, without repeats; ``folds`` of each, where they rotate.

    Raises:
        InputError: a setting's image counts are both listed and searched, or two cells have one name.
    """
    found: dict[Cell, None] = {}
    for block in blocks:
        found |= dict.fromkeys(_cells(block, task))
    listed = {replace(cell, images=None) for cell in found if not cell.counted}
    for cell in found:
        if cell.counted and replace(cell, images=None, counted=False) in listed:
            raise InputError(
                f"grid: the image counts of {cell.backbone} are listed in one block and searched in another; "
                "do one of them"
            )
    named: dict[str, Cell] = {}
    for cell in found:
        if named.setdefault(cell.name, cell) != cell:
            raise InputError(f"grid: two cells would be called {cell.name}; files of weights need names of their own")
    return [replace(cell, fold=fold) for cell in found for fold in (range(folds) if folds else [None])]


def _cells(block: GridSettings, task: TaskName) -> Iterator[Cell]:
    counted = block.images == "search"
    counts = range(1, block.most_images + 1) if block.images == "search" else block.images
    for backbone, start, method, norm in itertools.product(block.backbone, block.start, block.method, block.norm):
        cell = Cell(backbone, method, norm, start=start, epochs=block.epochs)
        if method == "train" and task == "multilabel":
            yield from _transferred(replace(cell, train_view="whole"), block)
            continue
        if method == "train":
            for view, patches, classes in itertools.product(block.train_view, block.train_patches, block.train_classes):
                patches, classes = (patches, classes) if view == "patches" else (None, "NP")
                yield replace(cell, train_view=view, train_patches=patches, train_classes=classes)
            continue
        for label_init, distill_steps, distill_epochs, images in itertools.product(
            block.label_init, block.distill_steps, block.distill_epochs, counts
        ):
            yield replace(
                cell,
                images=images,
                label_init=label_init,
                distill_steps=distill_steps,
                distill_epochs=distill_epochs,
                counted=counted,
            )


def _transferred(cell: Cell, block: GridSettings) -> Iterator[Cell]:
    """A cell of ordinary training, after each of the block's chains."""
    for chain, transfer in itertools.product(block.chain, block.transfer):
        start, after = cell.start, tuple(chain)
        if transfer != "mixed" and after[:1] == (PRETRAINED,):
            start, after = PRETRAINED, after[1:]
        if transfer == "regular" or len(after) > 1:
            yield replace(cell, start=start, chain=after, transfer=transfer if after else None)
