"""Histograms of films: every pixel is counted once, however large the film is."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.io import film
from sldd.io.film import count_values


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((9, 7), np.uint8), ((300, 301), np.uint8), ((90, 70, 3), np.uint8), ((300, 301), np.uint16), ((7001,), np.uint8)],
)
def test_values_are_counted_whatever_the_size(
    shape: tuple[int, ...], kind: type[np.generic], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film, "_AT_A_TIME", 1000)
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, shape).astype(kind)
    counts = count_values(pixels)
    assert counts.shape == (np.iinfo(kind).max + 1,)
    np.testing.assert_array_equal(counts, np.bincount(pixels.ravel(), minlength=len(counts)))
