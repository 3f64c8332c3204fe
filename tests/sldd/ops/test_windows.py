"""Windows of held films: the values that slices of the films have, whatever their sizes, depths and colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sldd.ops import windows
from sldd.ops.windows import HeldFilms, Window

CPU = torch.device("cpu")


@given(
    shapes=st.lists(st.tuples(st.integers(5, 12), st.integers(5, 12)), min_size=1, max_size=4),
    kind=st.sampled_from([("uint8", ()), ("uint16", ()), ("uint8", (3,))]),
    size=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_held_windows_are_slices_of_their_films(
    shapes: list[tuple[int, int]], kind: tuple[str, tuple[int, ...]], size: int, seed: int
) -> None:
    (dtype, colours), random = kind, np.random.default_rng(seed)
    most = np.iinfo(dtype).max
    films = {
        3 * n: random.integers(most, size=(*shape, *colours), dtype=dtype, endpoint=True)
        for n, shape in enumerate(shapes)
    }
    numbers = random.choice(list(films), 7)
    places = [
        Window(int(n), int(random.integers(side[0] - size + 1)), int(random.integers(side[1] - size + 1)), size)
        for n, side in ((n, films[n].shape) for n in numbers)
    ]
    held = HeldFilms(films, CPU)
    assert held.has(places)
    assert not held.has([Window(1, 0, 0, size)])
    found = held.cut(places).numpy()
    for window, crop in zip(places, found, strict=True):
        slice_ = films[window.film][window.top : window.top + size, window.left : window.left + size]
        assert crop.dtype == np.float32
        assert np.array_equal(crop, slice_[None] if not colours else slice_.transpose(2, 0, 1))


def test_many_windows_are_cut_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    film = np.arange(400, dtype=np.uint16).reshape(20, 20)
    held, places = HeldFilms({0: film}, CPU), [Window(0, n, 2 * n, 4) for n in range(8)]
    whole = held.cut(places)
    monkeypatch.setattr(windows, "_MOST_VALUES", 50)
    assert torch.equal(held.cut(places), whole)


def test_films_go_to_their_device_once() -> None:
    """On a device without memory, whatever would come back to the CPU fails."""
    held = HeldFilms({0: np.zeros((9, 9), np.uint8)}, torch.device("meta"))
    assert held.cut([Window(0, 1, 2, 4)] * 5).device.type == "meta"
