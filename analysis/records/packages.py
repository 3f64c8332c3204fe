"""Visible part of a package: distilled images, soft labels, learned rates.

Reads `package.safetensors` with numpy alone, however its images are stored (docs/package.md); the statistics for the
network (`theta_bn`) stay unread.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load

from ledger.storage import Folder

CLASSES = ("I", "N", "P")
LONGEST_SIDE = 160  # pixels of a thumbnail: a page of a hundred images stays a few megabytes


@dataclass(frozen=True, eq=False)
class Distilled:
    """The visible part of a package.

    `images` float (S, M, height, width): distill step, image, rows, columns; no unit, roughly standardised gray. In
    colour (S, M, height, width, 3): red, green and blue as in the films.
    `labels` float (S, M, classes): the learned weights of I, N, P or of other `exclusive` classes, any real numbers; of
    films with findings the probability of each. `rates` float (E, S), or (E, S, T) with one for each of the network's T
    parameter tensors: inner rates. `classes` are the labels' columns.
    """

    images: np.ndarray
    labels: np.ndarray
    rates: np.ndarray
    classes: tuple[str, ...] = CLASSES
    exclusive: bool = False

    @property
    def findings(self) -> bool:
        """Whether whole films are told, instead of patches' three classes."""
        return self.exclusive or self.classes != CLASSES


def read_distilled(trial_folder: Folder) -> Distilled | None:
    """The package in `trial_folder`, or None where there is none that can be read."""
    try:
        content = (trial_folder / "package.safetensors").read_bytes()
        package, facts = load(content), _facts(content)
        images, labels, rates = (package[name] for name in ("images", "labels", "rates"))
        if images.dtype == np.uint8:  # 8 bit; see docs/package.md
            images = package["images_low"] + package["images_step"] * images.astype(np.float32)
        shown, classes = _shown(images.astype(float), facts), _classes(facts)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if labels.shape != (*images.shape[:2], len(classes)) or rates.ndim not in (2, 3):
        return None
    return Distilled(shown, labels.astype(float), rates.astype(float), classes, facts.get("exclusive") is True)


def _facts(content: bytes) -> dict[str, Any]:
    """What a package says of itself; nothing where it has no header of ours."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    facts: dict[str, Any] = json.loads(header.get("__metadata__", {}).get("facts", "{}"))
    return facts


def _classes(facts: dict[str, Any]) -> tuple[str, ...]:
    """What the labels' columns are; those of patches where nothing is said.

    Raises:
        ValueError: they are no names.
    """
    names = facts.get("classes", CLASSES)
    if not all(isinstance(name, str) for name in names):
        raise ValueError("classes")
    return tuple(names)


def _shown(images: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Images (S, M, channels, height, width) as of `Distilled`.

    Raises:
        ValueError: of another number of channels, or of dimensions.
    """
    steps, each, channels, height, width = images.shape
    if channels != 3:
        return images.reshape(steps, each, height, width)
    deviation, mean = (np.reshape(facts[name], 3) for name in ("deviation", "mean"))
    return np.moveaxis(images, 2, -1) * deviation + mean


def likeliest(distilled: Distilled, label: np.ndarray, most: int) -> list[tuple[str, float]]:
    """The findings or classes that a label (classes,) has most of, and the probability of each or share in it."""
    if distilled.exclusive:
        parts, _ = shares(label)
        label = np.zeros(len(label)) if parts is None else parts
    order = np.argsort(-label, kind="stable")[:most]
    return [(distilled.classes[place], float(np.clip(np.nan_to_num(label[place]), 0, 1))) for place in order]


def shares(label: np.ndarray) -> tuple[np.ndarray | None, bool]:
    """A learned label (classes,) as shares of one: `y / sum(y)`, with what is negative taken as zero.

    Returns the shares, None where nothing is positive, and whether anything had to be taken as zero. Not a softmax:
    the labels enter the loss as weights, so a softmax would show proportions no step ever used.
    """
    positive = np.clip(np.nan_to_num(label), 0, None)
    total = positive.sum()
    return (positive / total if total > 0 else None), bool((label < 0).any())


def percents(parts: np.ndarray) -> list[str]:
    """Shares of one as percent with one decimal, as in Li et al. (2022), Figures 4 and 6; they add up to 100.0."""
    exact = 1000 * parts
    tenths = np.floor(exact).astype(int)
    # What rounding down leaves over goes to those it took most from.
    tenths[np.argsort(tenths - exact, kind="stable")[: 1000 - tenths.sum()]] += 1
    return [f"{tenth / 10:.1f}" for tenth in tenths]


def stretched(image: np.ndarray) -> Image.Image:
    """One image (height, width) in gray or (height, width, 3) in colour: its lowest value black, its highest white."""
    finite = np.nan_to_num(image)
    low, high = finite.min(), finite.max()
    shown = np.rint(255 * (finite - low) / (high - low)) if high > low else np.full(finite.shape, 128.0)
    return Image.fromarray(shown.astype(np.uint8))


def png_uri(image: np.ndarray) -> str:
    """`stretched` as a PNG data URI, scaled down to `LONGEST_SIDE` where it is larger."""
    picture = stretched(image)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
