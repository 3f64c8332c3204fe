"""NIfTI files: which slice is read, which way is up, and what is refused."""

from __future__ import annotations

import gzip
import itertools
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sldd.errors import InputError
from sldd.io.film import ChannelsError, VolumeError
from sldd.io.radiograph import read_film
from tests.conftest import write_nifti

VALUES = np.random.default_rng(0).integers(-1000, 3000, (5, 6, 7)).astype(np.int16)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_slices_lie_as_nibabels_closest_canonical_whatever_the_order_of_the_file(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    for ways, dtype in itertools.product(itertools.product((1, -1), repeat=3), ("<i2", ">i2")):
        affine = np.eye(4)
        affine[:3, :3] = 0
        affine[order, range(3)] = np.array(ways) * (1, 2, 3)
        path = write_nifti(tmp_path / "a.nii.gz", VALUES.astype(dtype), affine)
        canonical = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)
        for place, number in ((0.0, 0), (0.5, canonical.shape[2] // 2), (1.0, -1)):
            wanted = canonical[::-1, ::-1, number].T  # the front on top, the patient's left on the right
            np.testing.assert_array_equal(read_film(path, 1, place).pixels.astype(int) - 2**15, wanted)


def test_rescaled_values_are_those_of_another_way_to_store_them(tmp_path: Path) -> None:
    stored = nibabel.Nifti1Image((VALUES + 1024).astype(np.uint16), np.eye(4))
    stored.header.set_slope_inter(1, -1024)
    stored.to_filename(tmp_path / "b.nii")
    pixels = read_film(tmp_path / "b.nii", 1, 0.5).pixels
    np.testing.assert_array_equal(pixels, read_film(write_nifti(tmp_path / "a.nii", VALUES), 1, 0.5).pixels)


def test_a_window_is_black_to_white(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", VALUES / 1000, cal_min=-0.5, cal_max=2)
    film = read_film(path, 1, 0)
    shown = ((VALUES[::-1, ::-1, 0].T / 1000 + 0.5) / 2.5).clip(0, 1)
    np.testing.assert_array_equal(film.pixels, np.rint(65535 * shown))
    assert film.as_shown
    assert (film.pixels == 65535).any()


def test_one_slice_needs_no_choice_and_no_place_is_taken_for_granted(tmp_path: Path) -> None:
    single = read_film(write_nifti(tmp_path / "a.nii", VALUES[:, :, :1, None])).pixels
    np.testing.assert_array_equal(single, read_film(write_nifti(tmp_path / "b.nii", VALUES), 1, 0).pixels)
    assert read_film(tmp_path / "a.nii").notes == ()
    (note,) = read_film(write_nifti(tmp_path / "c.nii", VALUES, None), 1, 0).notes
    assert note.startswith("its header does not say how it lies")


def _four(path: Path) -> None:
    write_nifti(path, np.stack([VALUES] * 4, -1))


def _with_nan(path: Path) -> None:
    values = VALUES.astype(np.float32)
    values[2, 2, 3] = np.nan
    write_nifti(path, values)


def _claiming(*shape: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        plain = write_nifti(path.with_name("plain.nii"), VALUES)
        content = bytearray(plain.read_bytes())
        content[42:48] = np.array(shape, "<i2").tobytes()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)

    return write


def _broken(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 8), np.uint8)
        path.write_bytes(change(write_nifti(path, noise).read_bytes()))

    return write


def _with_extension(size: int, offset: int, content: bytes = b"") -> Callable[[Path], None]:
    """Writes a volume, in either format, whose header has an extension that says to be of so many bytes."""

    def write(path: Path) -> None:
        plain = write_nifti(path.with_name("plain.nii"), VALUES)
        stored = bytearray(plain.read_bytes())
        stored[108:112] = np.float32(offset).tobytes()
        stored[348:352] = b"\1\0\0\0"
        extension = np.array([size, 6], "<i4").tobytes() + content
        path.write_bytes(gzip.compress(stored[:352] + extension + (stored[352:] if content else b"")))

    return write


def test_a_header_with_an_extension_is_read(tmp_path: Path) -> None:
    _with_extension(64, 352 + 64, bytes(56))(tmp_path / "a.nii.gz")
    plain = write_nifti(tmp_path / "b.nii", VALUES)
    np.testing.assert_array_equal(read_film(tmp_path / "a.nii.gz", 1, 0).pixels, read_film(plain, 1, 0).pixels)


def test_both_versions_of_the_format_are_read_alike(tmp_path: Path) -> None:
    nibabel.Nifti2Image(VALUES, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    plain = write_nifti(tmp_path / "b.nii", VALUES)
    np.testing.assert_array_equal(read_film(tmp_path / "a.nii.gz", 1, 0).pixels, read_film(plain, 1, 0).pixels)


def test_what_an_extension_says_of_its_size_takes_no_memory(tmp_path: Path) -> None:
    _with_extension(2**26, 352 + 2**26, bytes(2**26))(tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="its values begin at byte"):
            read_film(tmp_path / "a.nii.gz", 1, 0)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("a.nii", _four, "the NIfTI file is 5 x 6 x 7 x 4, and one volume is read; save the one that is meant"),
        ("a.nii", lambda path: write_nifti(path, VALUES.astype(np.complex64)), "holds no plain numbers"),
        ("a.nii", lambda path: write_nifti(path, VALUES / 9000), "holds floats from -0.[0-9]* to 0.[0-9]*, which have"),
        ("a.nii", _with_nan, "holds values that are not finite"),
        ("a.nii", lambda path: write_nifti(path, 0 * VALUES), "slice 4 of 7 of the NIfTI file is empty"),
        ("a.nii", lambda path: write_nifti(path, VALUES[:, :1]), "axial slices of 5 x 1 pixels"),
        ("a.nii", _claiming(30000, 30000, 30000), "its values take 54,000,000,000,000 bytes, and 1,073,741,824 are"),
        ("a.nii.gz", _claiming(500, 500, 500), "would grow a hundredfold"),
        ("a.nii", _claiming(50, 50, 50), "is cut off: it takes 250,352 bytes and 772 are there"),
        ("a.nii.gz", _claiming(50, 50, 50), "is cut off: it takes 250,352 bytes and 772 are there"),
        ("a.nii", _claiming(0, 5, 5), "is empty"),
        ("a.nii.gz", _broken(lambda content: content[:-4000]), r"cannot be read \(EOFError\); it is damaged or none"),
        ("a.nii.gz", _broken(lambda content: content[:-8] + bytes(8)), r"cannot be read \(BadGzipFile\)"),
        ("a.nii.gz", _broken(lambda content: b"no" + content), r"cannot be read \(BadGzipFile\)"),
        ("a.nii.gz", _with_extension(2**25, offset=2**26), "its values begin at byte 67,108,864, and 16,777,216 are"),
        ("a.nii.gz", _with_extension(2**31 - 16, offset=2**20), "is cut off: it takes 1,048,996 bytes"),
        ("a.nii", lambda path: path.write_bytes(b""), r"cannot be read \(ImageFileError\)"),
    ],
)
def test_what_cannot_be_read_gets_one_line(
    tmp_path: Path, name: str, write: Callable[[Path], Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError, match=says) as caught:
        read_film(tmp_path / name, 1, 0.5)
    assert "\n" not in str(caught.value)
    assert not caplog.records


def test_a_volume_without_a_choice_and_a_gray_one_in_colour(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", VALUES)
    with pytest.raises(VolumeError, match="is a volume of 7 slices"):
        read_film(path)
    with pytest.raises(ChannelsError, match="the NIfTI file is gray"):
        read_film(path, 3, 0.5)


def test_without_nibabel_a_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_nifti(tmp_path / "a.nii", VALUES)
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match=r"nibabel, which is not installed; pip install 'sldd-study\[nifti\]'"):
        read_film(path, 1, 0.5)
