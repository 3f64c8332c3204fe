from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sldd.data.patches import PatchSettings
from sldd.errors import InputError
from sldd.metrics.patient_votes import Votes, operate
from sldd.package.apply.vote_map import FilmVotes, film_votes
from sldd.rng import stream

SETTINGS = PatchSettings(size=16, stride=8, score_stride=12, input_size=16)


def bright(crops: torch.Tensor) -> torch.Tensor:
    """Votes by brightness of the window's middle: dark I, gray N, bright P."""
    middle = crops[:, 0, 8, 8]
    return torch.stack([middle < -0.5, (middle >= -0.5) & (middle < 0.5), middle >= 0.5], 1).float()


def votes_of(
    pixels: np.ndarray, mask: np.ndarray | None = None, settings: PatchSettings = SETTINGS, batch: int = 64
) -> FilmVotes:
    return film_votes(bright, pixels, mask, settings, mean=100.0, std=50.0, delta=0.5, batch=batch)


def quadrants() -> np.ndarray:
    """40 x 52 pixels: dark but for a gray part at the top right and a bright one at the bottom right."""
    pixels = np.full((40, 52), 50, np.uint8)
    pixels[:20, 26:], pixels[20:, 26:] = 110, 180
    return pixels


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_votes_stand_where_their_windows_do(batch):
    votes = votes_of(quadrants(), batch=batch)
    assert (votes.size, votes.stride) == (16, 12)
    assert votes.votes.tolist() == [[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 2, 2]]
    assert votes.counts.tolist() == [6, 2, 4]
    assert votes.score == pytest.approx(4 / 6)
    assert votes.call == "positive"


def test_a_mask_changes_no_vote_and_tells_the_organs_apart():
    mask = np.zeros((40, 52), bool)
    mask[:, 30:] = True
    votes = votes_of(quadrants(), mask)
    assert votes.votes.tolist() == votes_of(quadrants()).votes.tolist()
    assert votes_of(quadrants()).organ_counts is None
    assert votes.organ_counts is not None
    assert votes.organ_counts.tolist() == [0, 1, 2], "the windows that begin at column 36"


grids = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))


@given(grids, st.integers(0, 99))
def test_cells_hold_the_votes_of_the_windows_over_each_pixel(grid, seed):
    rows, columns, size, stride, spare = grid
    cast = stream(seed, "votes").integers(0, 3, (rows, columns))
    shape = ((rows - 1) * stride + size + spare, (columns - 1) * stride + size + spare)
    down, across, counts = FilmVotes(shape, cast, size, stride, 0.5).cells()
    expected = np.zeros((3, *shape), int)
    for row, column in np.ndindex(rows, columns):
        top, left = row * stride, column * stride
        expected[cast[row, column], top : top + size, left : left + size] += 1
    shown = counts.repeat(np.diff(down), axis=1).repeat(np.diff(across), axis=2)
    assert np.array_equal(shown, expected)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_the_call_is_the_studys_own(cast, delta):
    votes = FilmVotes((8, 8), np.array([cast]), 8, 1, delta)
    counts = votes.counts
    assert counts.sum() == len(cast)
    if votes.score is None:
        assert (votes.call, counts[1] + counts[2]) == ("undecided", 0)
    else:
        assert votes.score == counts[2] / (counts[1] + counts[2])
    for label in (0, 1):
        at = operate(Votes([0], np.array([label]), counts[None], np.zeros((3, 3))), delta)
        right = at.sensitivity if label else at.specificity
        assert right == ((votes.call == "positive") == (label == 1))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda film: (film[:12, :12], None), "12 x 12 pixels and a patch of this package 16"),
        (lambda film: (film, np.ones((4, 5), bool)), "the mask is 5 x 4 and the radiograph 52 x 40"),
        (lambda film: (film.astype(np.uint16) * 257, None), "not on the scale of the patients of training"),
    ],
)
def test_films_that_do_not_fit_the_package(change: Callable[..., tuple[np.ndarray, np.ndarray | None]], says: str):
    with pytest.raises(InputError, match=says):
        votes_of(*change(quadrants()))
