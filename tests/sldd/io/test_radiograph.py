"""Radiographs: the pixels of a file, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.errors import InputError
from sldd.io.radiograph import read_radiograph
from tests.conftest import write_dicom


def test_dicom_is_known_by_its_content(tmp_path: Path) -> None:
    stored = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    named = read_radiograph(write_dicom(tmp_path / "a.dcm", stored))
    np.testing.assert_array_equal(read_radiograph(write_dicom(tmp_path / "no-suffix", stored)), named)


def test_eight_bits_stay_eight_bits(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.png")
    read = read_radiograph(tmp_path / "a.png")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("stored", [np.uint16, np.int32, np.float32])
def test_more_than_eight_bits_stay_as_they_are(tmp_path: Path, stored: type[np.generic]) -> None:
    values = np.arange(600 * 100, dtype=np.uint16).reshape(600, 100)  # taller than what is read at once
    Image.fromarray(values.astype(stored)).save(tmp_path / "a.tiff")
    read = read_radiograph(tmp_path / "a.tiff")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("strange", [-1, 65536, 0.5, np.nan, np.inf])
def test_values_that_sixteen_bits_cannot_hold(tmp_path: Path, strange: float) -> None:
    values = np.zeros((600, 10), np.float32)
    values[599, 9] = strange
    Image.fromarray(values).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match=r"^the image holds values outside 0\.\.65535"):
        read_radiograph(tmp_path / "a.tiff")


def test_truncated_png_gets_one_line(tmp_path: Path) -> None:
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64) * 7).save(tmp_path / "DOE-JANE.png")
    whole = (tmp_path / "DOE-JANE.png").read_bytes()
    (tmp_path / "DOE-JANE.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"^the image cannot be read \(OSError\); it should be a whole PNG") as caught:
        read_radiograph(tmp_path / "DOE-JANE.png")
    assert "DOE" not in str(caught.value)


def test_an_image_that_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (16384, 8192)).save(tmp_path / "bomb.png")  # a few kilobytes
    with pytest.raises(InputError, match="the image has 16384 x 8192 pixels"):
        read_radiograph(tmp_path / "bomb.png")
