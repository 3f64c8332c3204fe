"""Patches: windows over a radiograph, their classes by the organ mask, and batches cropped on demand.

Nothing is written out and nothing is kept: a crop is copied out of the memory-mapped radiograph when a batch asks
for it (1,225 crops of a 2048 x 2048 radiograph would be 25 times its size).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le

from sldd.data.cohort import Cohort
from sldd.data.prefetch import draw_rows, in_turns
from sldd.errors import InputError
from sldd.ops.digest import digest
from sldd.ops.pixels import at_least, planes, standardise
from sldd.ops.types import PerChannel
from sldd.ops.windows import HeldFilms, Window, in_pixels, organ_shares

IRRELEVANT, NEGATIVE, POSITIVE = 0, 1, 2
CLASSES = ("I", "N", "P")
DISCARDED = -1
SMALLEST_PATCH = 8  # pixels


@dataclass(frozen=True)
class PatchSettings:
    """Windows and classes (Li et al. 2022, section 3.1 and 4.1).

    ``size`` and the strides are pixels, or, below 1, shares of the radiograph's shorter side.
    """

    size: Annotated[float, Gt(0)] = 299
    """Side of a patch: pixels, or, below 1, a share of the radiograph's shorter side."""
    stride: Annotated[float, Gt(0)] = 50
    """From patch to patch, as ``size``."""
    score_stride: Annotated[float, Gt(0)] | None = None
    """Stride when a patient is scored; ``stride`` unless given."""
    input_size: Annotated[int, Ge(8)] = 224
    """Side to which a patch is resized for the network, in pixels; 1,024 at most where a package is made."""
    irrelevant_below: Annotated[float, Gt(0), Le(1)] = 0.01
    """Share of a patch inside the organ under which it is irrelevant (I)."""
    organ_above: Annotated[float, Ge(0), Le(1)] = 0.85
    """Share above which it is N or P; what lies between is no training patch."""


def window_classes(shares: np.ndarray, label: int, settings: PatchSettings) -> np.ndarray:
    """int8 classes of windows by their share inside the organ (section 3.1), in the shape of ``shares``.

    I below ``irrelevant_below``, N or P by the patient's ``label`` above ``organ_above``, ``DISCARDED`` between.
    """
    classes = np.full(shares.shape, DISCARDED, np.int8)
    classes[shares < settings.irrelevant_below] = IRRELEVANT
    classes[shares > settings.organ_above] = POSITIVE if label else NEGATIVE
    return classes


class Patches:
    """The patches of a cohort, standardised with the mean and deviation of the training patients' values.

    Args:
        cohort: where the pixels are.
        settings: windows and classes.
        mean, std: in the cohort's own values, of each channel.

    Raises:
        InputError: a patch is larger than a radiograph.
    """

    soft_votes = False

    def __init__(self, cohort: Cohort, settings: PatchSettings, mean: PerChannel, std: PerChannel) -> None:
        self.cohort = cohort
        self.settings = settings
        self.mean, self.std = mean, at_least(std)
        self._held: HeldFilms | None = None
        self._classes: dict[tuple[int, bool], np.ndarray | None] = {}
        if settings.irrelevant_below > settings.organ_above:
            raise InputError("patches.irrelevant_below is above patches.organ_above; a patch would have two classes")
        for film, (height, width) in enumerate(cohort.shapes):
            side = min(height, width)
            if in_pixels(settings.size, side) < SMALLEST_PATCH:
                raise InputError(
                    f"patches.size: {settings.size:g} is a patch of {in_pixels(settings.size, side)} pixels; choose at "
                    f"least {SMALLEST_PATCH}, or a share of the side below 1"
                )
            if in_pixels(settings.size, side) > side:
                raise InputError(
                    f"patches.size: {settings.size:g} pixels is larger than radiograph {film + 1} of the cohort "
                    f"({width} x {height}); choose at most {side}, or a share of its side such as 0.15"
                )

    @property
    def fingerprint(self) -> str | None:
        """Digest of the films and of how windows are cut; None where films have none, as one in memory."""
        cohort, how = self.cohort, [asdict(self.settings), self.mean, self.std]
        return digest("patches", cohort.fingerprint, cohort.folder.name, how) if cohort.fingerprint else None

    def geometry(self, film: int, *, scoring: bool) -> tuple[int, int]:
        """Patch size and stride in a film, in pixels."""
        side = min(self.cohort.shapes[film])
        stride = self.settings.stride
        if scoring and self.settings.score_stride is not None:
            stride = self.settings.score_stride
        return in_pixels(self.settings.size, side), in_pixels(stride, side)

    def classes(self, film: int, *, scoring: bool) -> np.ndarray | None:
        """(rows, columns) classes of a film's windows; None without a mask."""
        if (film, scoring) not in self._classes:  # asked for at every evaluation, and a large mask takes a while
            self._classes[film, scoring] = self._classes_of(film, scoring)
        return self._classes[film, scoring]

    def _classes_of(self, film: int, scoring: bool) -> np.ndarray | None:
        mask = self.cohort.mask(film)
        if mask is None:
            return None
        label = self.cohort.labels[self.cohort.film_patients[film]]
        return window_classes(organ_shares(mask, *self.geometry(film, scoring=scoring)), label, self.settings)

    def crop(self, windows: Sequence[Window]) -> torch.Tensor:
        """(windows, channels, input, input) float32, standardised; resized with an anti-aliased bilinear filter."""
        if len({window.size for window in windows}) > 1:
            return torch.cat([self.crop([window]) for window in windows])
        if self._held is not None and self._held.has(windows):
            return self._as_input(self._held.cut(windows))
        crops = [planes(self.cohort.pixels(w.film)[w.top : w.top + w.size, w.left : w.left + w.size]) for w in windows]
        return self._as_input(torch.stack(crops))

    def held(self, films: Sequence[int], device: torch.device) -> Patches:
        """A copy that holds these films on ``device``: windows of them are cut there, and stay there."""
        near = copy.copy(self)
        near._held = HeldFilms({film: self.cohort.pixels(film) for film in films}, device)
        return near

    def _as_input(self, images: torch.Tensor) -> torch.Tensor:
        side = self.settings.input_size
        if images.shape[-1] != side:
            images = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        return standardise(images, self.mean, self.std)

    def scan(self, film: int, batch: int, device: torch.device) -> Iterator[tuple[torch.Tensor, np.ndarray | None]]:
        """All windows of a film, at most ``batch`` crops at a time, with their classes where there is a mask.

        The film goes to ``device`` once, and is cut and resized there: its windows overlap, and together are many times
        its size.
        """
        size, stride = self.geometry(film, scoring=True)
        pixels = planes(self.cohort.pixels(film)).to(device)
        windows = pixels.unfold(1, size, stride).unfold(2, size, stride)  # (channels, rows, columns, size, size)
        rows, columns = windows.shape[1:3]
        classes = self.classes(film, scoring=True)
        flat = None if classes is None else classes.ravel()
        for begin in range(0, rows * columns, batch):
            end = min(begin + batch, rows * columns)
            number = torch.arange(begin, end, device=device)
            crops = windows[:, number // columns, number % columns].movedim(0, 1).contiguous()
            yield self._as_input(crops), None if flat is None else flat[begin:end]


def class_windows(patches: Patches, patient: int) -> list[np.ndarray]:
    """A patient's training windows of each class: (windows, 4) int64 film, first row, first column, side.

    Raises:
        InputError: a film has no mask.
    """
    found: list[list[np.ndarray]] = [[] for _ in CLASSES]
    for film in patches.cohort.films_of[patient]:
        classes = patches.classes(film, scoring=False)
        if classes is None:
            raise InputError(
                f"radiograph {film + 1} of the cohort has no mask and its patient is in the training split; "
                "give every training patient an organ mask"
            )
        size, stride = patches.geometry(film, scoring=False)
        for number in range(len(CLASSES)):
            rows, columns = np.nonzero(classes == number)
            windows = np.empty((len(rows), 4), np.int64)
            windows[:, 0], windows[:, 3] = film, size
            windows[:, 1], windows[:, 2] = rows * stride, columns * stride
            found[number].append(windows)
    return [np.concatenate(group) for group in found]


class BalancedBatches:
    """Batches of training patches with equal numbers of I, N and P, drawn with replacement.

    Args:
        patches: where crops come from.
        patients: the training patients.

    Raises:
        InputError: a training patient has no mask, or a class has no patch.
    """

    def __init__(self, patches: Patches, patients: Sequence[int]) -> None:
        self._patches = patches
        by_patient = [class_windows(patches, patient) for patient in patients]
        self._windows = [np.concatenate(group) for group in zip(*by_patient, strict=True)]
        """Of each class, as of ``class_windows``."""
        self._turns = list(range(len(CLASSES)))
        """Classes that a batch holds, in turns."""
        for name, windows in zip(CLASSES, self._windows, strict=True):
            if not len(windows):
                raise InputError(
                    f"no training patch of class {name} at patch size {patches.settings.size:g}; choose smaller "
                    "patches (patches.size), a smaller stride, or other mask shares (patches.organ_above, "
                    "patches.irrelevant_below)"
                )

    def subset(
        self, random: np.random.Generator, *, classes: str = "".join(CLASSES), per_class: int | None = None
    ) -> BalancedBatches:
        """Batches of fewer patches.

        Args:
            random: draws them.
            classes: letters of those that batches hold.
            per_class: patches of each, drawn without replacement; all by default.

        Raises:
            InputError: a class has fewer patches.
        """
        smaller = copy.copy(self)
        smaller._turns = [CLASSES.index(letter) for letter in classes]
        if per_class is None:
            return smaller
        for number in smaller._turns:
            if len(self._windows[number]) < per_class:
                raise InputError(
                    f"grid.train_patches: {per_class:,} patches a class, and class {CLASSES[number]} has "
                    f"{len(self._windows[number]):,}; choose fewer, or a smaller stride"
                )
        smaller._windows = [
            windows[random.choice(len(windows), min(per_class, len(windows)), replace=False)]
            for windows in self._windows
        ]
        return smaller

    @property
    def fingerprint(self) -> str | None:
        """Digest of the patches that batches are drawn from; None where the films have none."""
        content = self._patches.fingerprint
        windows = [hashlib.sha256(group.tobytes()).hexdigest() for group in self._windows]
        return content and digest("balanced, turns drawn", content, windows, self._turns)

    @property
    def side(self) -> int:
        """Side of a patch as the network sees it, in pixels."""
        return self._patches.settings.input_size

    @property
    def channels(self) -> int:
        return self._patches.cohort.channels

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    @property
    def size(self) -> int:
        """Training patches."""
        return sum(self.counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Training patches of each class."""
        return {name: len(windows) for name, windows in zip(CLASSES, self._windows, strict=True)}

    def near(self, device: torch.device, most: int) -> BalancedBatches:
        """The same batches, cut on ``device``; these ones where their films take more than ``most`` bytes.

        Values are the same where patches have the network's size already; resizing may round otherwise elsewhere.
        """
        cohort = self._patches.cohort
        films = np.unique(np.concatenate([windows[:, 0] for windows in self._windows])).tolist()
        if sum(cohort.pixels(film).nbytes for film in films) > most:
            return self
        nearer = copy.copy(self)
        nearer._patches = self._patches.held(films, device)
        return nearer

    def draw(self, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(count, channels, input, input) patches and (count,) int64 classes ``in_turns``: I, N, P, or fewer."""
        classes = np.array(self._turns)[in_turns(random, count, len(self._turns))]
        return self.of_classes(random, classes.tolist()), torch.from_numpy(classes)

    def of_classes(self, random: np.random.Generator, classes: Sequence[int], *, apart: bool = False) -> torch.Tensor:
        """(len(classes), channels, input, input) float32 patches, one of each class in turn; as of ``draw_rows``."""
        rows = draw_rows(random, [len(windows) for windows in self._windows], classes, apart=apart)
        picked = [self._windows[number][row] for number, row in zip(classes, rows, strict=True)]
        return self._patches.crop([Window(*map(int, row)) for row in picked])
