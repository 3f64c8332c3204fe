"""Films in memory: how often they are read, the forms that they may have, and what is not one for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sldd
from sldd.pipeline.array_source import to_pixels
from tests.sldd.pipeline.conftest import banded
from tests.sldd.pipeline.test_open_cohort import Items


class Counted(Items):
    """Tells how often its items were asked for."""

    def __init__(self) -> None:
        super().__init__(lambda image: image)
        self.asked = 0

    def __getitem__(self, number: int) -> tuple[Any, int]:
        self.asked += 1
        return super().__getitem__(number)


def test_an_image_is_read_to_be_known_and_to_be_kept(tmp_path: Path) -> None:
    items = Counted()
    sldd.open_cohort(items, cache=tmp_path)
    assert items.asked == 2 * len(items)
    sldd.open_cohort(items, cache=tmp_path)
    assert items.asked == 3 * len(items), "what is kept is not read again"


def test_a_tensor_has_its_channels_first_and_an_array_last() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 5, 3)).astype(np.uint8)
    assert to_pixels(torch.from_numpy(pixels), "image 1").shape == (5, 3, 3)
    assert to_pixels(pixels, "image 1").shape == (3, 5, 3)


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("labels", 1, "int"),
        ("labels", np.array(1), "ndarray"),
        ("labels", torch.tensor(1), "Tensor"),
        ("labels", (number % 2 for number in range(12)), "generator"),
        ("masks", iter([]), "list_iterator"),
        ("subjects", 3, "int"),
        ("splits", iter([]), "list_iterator"),
    ],
)
def test_what_has_no_length_is_not_one_for_each_image(tmp_path: Path, name: str, given: Any, kind: str) -> None:
    images, classes = banded(12)
    words = f"{name}: {kind} without a length; give a list or an array, with one for each image"
    all_given: dict[str, Any] = {"labels": classes, name: given}
    with pytest.raises(sldd.InputError, match=words):
        sldd.open_cohort(images, **all_given, cache=tmp_path)
