"""Images of three classes, each bright in a band of its own, and budgets that take a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sldd
from sldd.data.cohort import Cohort

SMALL: dict[str, Any] = {
    "patches": sldd.PatchSettings(input_size=16),
    "outer": sldd.OuterSettings(steps=40, batch_size=24, evaluations=2, statistics_batches=2),
    "split": sldd.SplitSettings(validation=0.2, test=0.3),
}


def banded(count: int = 60, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """(count, side, side) uint8 images and (count,) classes 0, 1 and 2."""
    classes = np.arange(count) % 3
    images = np.random.default_rng(0).integers(0, 60, (count, side, side)).astype(np.uint8)
    for image, number in zip(images, classes, strict=True):
        image[side // 3 * number : side // 3 * (number + 1)] += 120
    return images, classes


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """The cohort of ``banded``, with names for its classes."""
    return sldd.open_cohort(*banded(), classes=["top", "middle", "bottom"], cache=tmp_path / "cache")
