"""NumPy files: images, slices of volumes, what values become, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sldd.errors import InputError
from sldd.io.film import ChannelsError, VolumeError
from sldd.io.radiograph import read_film

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (9, 8), np.uint8)
COLOUR = RANDOM.integers(0, 256, (9, 8, 3), np.uint8)
VOLUME = RANDOM.integers(-1000, 3000, (5, 9, 8)).astype(np.int16)


def _saved(path: Path, values: Any) -> Path:
    np.save(path, values) if path.suffix == ".npy" else np.savez(path, values)
    return path


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_shapes(tmp_path: Path, ending: str) -> None:
    def read(values: np.ndarray, channels: int = 1, place: float | None = None) -> np.ndarray:
        return read_film(_saved(tmp_path / f"a.{ending}", values), channels, place).pixels

    np.testing.assert_array_equal(read(GRAY), GRAY)
    np.testing.assert_array_equal(read(GRAY[..., None], 1, 0.5), GRAY)
    np.testing.assert_array_equal(read(COLOUR, 3), COLOUR)
    stack = np.stack([COLOUR, 255 - COLOUR])
    for place, number in ((0.0, 0), (0.5, 2), (1.0, 4)):
        np.testing.assert_array_equal(read(VOLUME, 1, place) - 2.0**15, VOLUME[number])
        np.testing.assert_array_equal(read(np.asfortranarray(VOLUME), 1, place) - 2.0**15, VOLUME[number])
        np.testing.assert_array_equal(read(stack, 3, place), stack[int(number > 0)])
    np.testing.assert_array_equal(read(VOLUME[:1]) - 2.0**15, VOLUME[0])


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (GRAY.astype(">u2") * 200, GRAY.astype(np.uint16) * 200),
        (GRAY.astype(np.int64), GRAY + np.uint16(2**15)),
        (-GRAY.astype(np.float32), 2**15 - GRAY.astype(np.uint16)),
        (GRAY / 255, GRAY),
        (COLOUR / np.float32(255), COLOUR),
    ],
)
def test_a_value_means_the_same_in_every_file(tmp_path: Path, values: np.ndarray, wanted: np.ndarray) -> None:
    read = read_film(_saved(tmp_path / "a.npy", values), 1 if values.ndim == 2 else 3).pixels
    assert read.dtype == wanted.dtype
    np.testing.assert_array_equal(read, wanted)


def _claiming(path: Path) -> None:
    header = np.lib.format.header_data_from_array_1_0(GRAY) | {"shape": (100_000, 100_000)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(100))


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("a.npy", lambda path: np.save(path, np.array([{}], object), allow_pickle=True), "or holds objects"),
        ("a.npy", lambda path: np.save(path, GRAY.astype(complex)), "holds no plain numbers"),
        ("a.npy", lambda path: np.save(path, GRAY > 9), "holds values of 1 bit, as masks have"),
        ("a.npy", lambda path: np.save(path, np.where(GRAY > 9, GRAY, np.nan)), r"are not finite \(NaN\)"),
        ("a.npy", lambda path: np.save(path, GRAY / 99 - 1), "holds floats from -0.98"),
        ("a.npy", lambda path: np.save(path, GRAY.astype(int) * 400), "or int16"),
        ("a.npy", lambda path: np.save(path, 0 * VOLUME), "slice 3 of 5 of the NumPy file is empty"),
        ("a.npy", lambda path: np.save(path, VOLUME[:0]), "the NumPy file is empty"),
        ("a.npy", lambda path: np.save(path, np.uint8(7)), "is a single value; an image is height x width"),
        ("a.npy", lambda path: np.save(path, GRAY[0]), "is 8; an image is height x width"),
        ("a.npy", lambda path: np.save(path, VOLUME[None]), "is 1 x 5 x 9 x 8; an image is"),
        ("a.npy", lambda path: np.save(path, COLOUR), r"is in colour; set data\.channels=rgb"),
        ("a.npy", _claiming, r"cannot be read \(ValueError\)"),
        ("a.npy", lambda path: path.write_bytes(b"\x80\x04."), r"cannot be read \(ValueError\)"),
        ("a.npz", lambda path: np.savez(path, GRAY, GRAY), r"the \.npz file holds 2 arrays"),
        ("a.npz", lambda path: np.savez_compressed(path, np.zeros((70, 1024, 1024), np.uint8)), "grow a hundredfold"),
        ("a.npz", lambda path: path.write_bytes(b"PK"), r"cannot be read \(BadZipFile\)"),
    ],
)
def test_what_cannot_be_read_gets_one_line(tmp_path: Path, name: str, write: Callable[[Path], Any], says: str) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError, match=says) as caught:
        read_film(tmp_path / name, 1, 0.5)
    assert "\n" not in str(caught.value)


def test_a_volume_without_a_choice_and_a_gray_one_in_colour(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="the NumPy file is a volume of 5 slices"):
        read_film(_saved(tmp_path / "a.npy", VOLUME))
    with pytest.raises(ChannelsError, match="the NumPy file is gray"):
        read_film(_saved(tmp_path / "a.npy", GRAY), 3)
    with pytest.raises(InputError, match="in colour of another type than uint8"):
        read_film(_saved(tmp_path / "a.npy", COLOUR.astype(int)), 3)


@pytest.mark.parametrize("shape", [(64, 48, 4), (3, 64, 48), (4, 64, 48)])
def test_a_picture_of_channels_is_no_volume(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="channels looks so, and is no volume; save it as height x width x 3"):
        read_film(_saved(tmp_path / "film.npy", np.zeros(shape, np.uint8)), 1, 0.5)
