"""Films scaled when they are read."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.errors import InputError
from sldd.io.film import Radiograph
from sldd.sources.labelled_films import scale, scaled


def test_each_side_shrinks_by_itself_and_none_grows() -> None:
    film = np.zeros((300, 200), np.uint8)
    assert scale(film, 100).shape == (100, 100)
    assert scale(film, 256).shape == (256, 200)
    assert scale(film, 512) is film


@pytest.mark.parametrize(("kind", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_gray_values_are_averaged_not_picked(kind: type, top: int) -> None:
    film = np.random.default_rng(0).integers(0, top + 1, (512, 384)).astype(kind)
    small = scale(film, 32)
    assert small.dtype == kind
    assert small.mean() == pytest.approx(film.mean(), rel=0.01)
    assert small.std() < film.std() / 5, "picked pixels would vary as much as before"


def test_a_ramp_stays_a_ramp() -> None:
    film = np.tile(np.arange(0, 4096, 8, dtype=np.uint16), (512, 1))
    # Four pixels of 8 each, centred; the ends see a part of the triangle only.
    np.testing.assert_allclose(scale(film, 128)[5, 1:-1], np.arange(128)[1:-1] * 32 + 12, atol=1)


def test_white_stays_white() -> None:
    assert scale(np.full((99, 77), 65535, np.uint16), 20).min() == 65535


def test_a_film_whose_rest_is_too_thin_to_be_seen_is_refused() -> None:
    padding = np.ones((64, 64), bool)
    padding[:, 30] = False
    film = Radiograph(np.zeros((64, 64), np.uint8), padding=padding)
    with pytest.raises(InputError, match=r"padding .* but for thin lines"):
        scaled(film, 8)
