from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from analysis.page.gallery import _rates
from analysis.records.packages import LONGEST_SIDE, percents, png_uri, read_distilled, shares
from analysis.records.records import read_study


def pixels(uri: str) -> np.ndarray:
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_a_package_is_read_without_torch(demo):
    study = read_study(demo)
    distilled = read_distilled(study.trial_folder(study.records["trial"].iloc[-1]))
    assert distilled is not None
    assert distilled.images.shape == (1, 3, 32, 32)
    assert distilled.labels.shape == (1, 3, 3)
    assert distilled.rates == pytest.approx(0.031)


def test_a_package_that_is_missing_damaged_or_of_another_shape_is_none(tmp_path):
    assert read_distilled(tmp_path) is None
    (tmp_path / "package.safetensors").write_bytes(b"\xff" * 100)
    assert read_distilled(tmp_path) is None
    save_file({"images": np.zeros((1, 2, 1, 4, 4), np.float32)}, tmp_path / "package.safetensors")
    assert read_distilled(tmp_path) is None
    tensors = {"images": np.zeros((1, 2, 1, 4, 4)), "labels": np.zeros((1, 1, 3)), "rates": np.zeros((1, 1))}
    save_file(tensors, tmp_path / "package.safetensors")
    assert read_distilled(tmp_path) is None


def test_rates_of_every_tensor_are_told_as_a_range(tmp_path):
    rates = np.linspace(0.01, 0.05, 6).reshape(1, 2, 3)
    tensors = {"images": np.zeros((2, 1, 1, 4, 4)), "labels": np.zeros((2, 1, 3)), "rates": rates}
    save_file(tensors, tmp_path / "package.safetensors")
    distilled = read_distilled(tmp_path)
    assert distilled is not None
    assert _rates(distilled.rates) == "learned rates of 3 tensors, 0.01 to 0.05"


@pytest.mark.parametrize(
    ("label", "expected", "clipped"),
    [
        ([1.0, 1.0, 2.0], [0.25, 0.25, 0.5], False),
        ([-1.0, 1.0, 3.0], [0.0, 0.25, 0.75], True),
        ([-1.0, -1.0, 0.0], None, True),
        ([0.0, 0.0, 0.0], None, False),
        ([float("nan"), 0.0, 2.0], [0.0, 0.0, 1.0], False),
    ],
)
def test_shares_of_a_label(label, expected, clipped):
    found, was_clipped = shares(np.array(label))
    assert was_clipped is clipped
    assert (found is None) if expected is None else (found == pytest.approx(expected))


def test_an_image_spans_black_to_white_and_stays_small():
    assert pixels(png_uri(np.array([[-3.0, 0.0], [1.0, 5.0]]))).tolist() == [[0, 96], [128, 255]]
    assert pixels(png_uri(np.zeros((4, 4)))).tolist() == [[128] * 4] * 4
    assert pixels(png_uri(np.random.default_rng(0).normal(size=(224, 112)))).shape == (LONGEST_SIDE, LONGEST_SIDE // 2)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([0.761, 0.125, 0.114], ["76.1", "12.5", "11.4"]),
        ([1 / 3, 1 / 3, 1 / 3], ["33.4", "33.3", "33.3"]),
        ([0.0004, 0.0004, 0.9992], ["0.1", "0.0", "99.9"]),
        ([1.0, 0.0, 0.0], ["100.0", "0.0", "0.0"]),
    ],
)
def test_percents_add_up(parts, expected):
    assert percents(np.array(parts)) == expected
    assert sum(map(float, expected)) == pytest.approx(100)


def test_images_in_8_bit_and_float16_are_read_as_they_were(tmp_path):
    rest = {"labels": np.zeros((1, 2, 3), np.float32), "rates": np.ones((1, 1), np.float32)}
    levels = np.arange(32, dtype=np.uint8).reshape(1, 2, 1, 4, 4)
    low, step = np.array([-2.0, 1.0], np.float32), np.array([0.25, 0.5], np.float32)
    scales = {"images_low": low.reshape(1, 2, 1, 1, 1), "images_step": step.reshape(1, 2, 1, 1, 1)}
    save_file({"images": levels, **scales, **rest}, tmp_path / "package.safetensors")
    distilled = read_distilled(tmp_path)
    assert distilled is not None
    assert distilled.images[0, 0, 0].tolist() == [-2.0, -1.75, -1.5, -1.25]
    assert distilled.images[0, 1, 3, 3] == 1.0 + 31 * 0.5
    save_file({"images": np.full((1, 2, 1, 4, 4), -1.5, np.float16), **rest}, tmp_path / "package.safetensors")
    distilled = read_distilled(tmp_path)
    assert distilled is not None
    assert (distilled.images == -1.5).all()
    save_file({"images": levels, **rest}, tmp_path / "package.safetensors")
    assert read_distilled(tmp_path) is None, "8 bit without its scale is nothing to look at"
