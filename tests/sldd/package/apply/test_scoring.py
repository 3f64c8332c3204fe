"""Scoring a receiver's radiographs: how many patches one may have, and whose gray values are too far away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sldd.errors import InputError
from sldd.io.film import Radiograph
from sldd.package import Package
from sldd.package.apply import scoring
from sldd.package.apply.films import at_depth, find_patients
from sldd.package.apply.remarks import _far as far
from sldd.package.apply.scoring import film_patches


def test_a_stranger_may_not_ask_for_any_number_of_patches(
    films: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = find_patients(films)[0].films[0]  # 3 x 3 patches of 32 pixels at a stride of 24
    monkeypatch.setattr(scoring, "MOST_WINDOWS", 9)
    film_patches(film, package)
    monkeypatch.setattr(scoring, "MOST_WINDOWS", 8)
    with pytest.raises(InputError, match="9 patches at the package's stride of 24 pixels; 8 are allowed"):
        film_patches(film, package)


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (100.0, 20.0, False),
        (179.0, 20.0, False),
        (181.0, 20.0, True),
        (19.0, 20.0, True),
        (100.0, 71.0, True),
        (100.0, 5.6, True),
        (100.0, 69.0, False),
        (100.0, 5.8, False),
    ],
)
def test_gray_values_are_far_away_by_their_mean_or_their_deviation(mean: float, std: float, expected: bool) -> None:
    assert far(mean, std, 100.0, 20.0) == expected


def test_gray_values_of_another_depth_are_scaled_white_to_white() -> None:
    eight = np.arange(256, dtype=np.uint8)[None]
    sixteen = at_depth(Radiograph(eight), 16)
    assert sixteen is not None
    assert sixteen.dtype == np.uint16
    assert sixteen.tolist() == (eight.astype(int) * 257).tolist()
    shown = at_depth(Radiograph(np.array([[0, 128, 129, 385, 386, 65535]], np.uint16), as_shown=True), 8)
    assert shown is not None
    assert shown.tolist() == [[0, 0, 1, 1, 2, 255]], "to the nearest"
    assert at_depth(Radiograph(sixteen), 8) is None, "white may lie anywhere"
