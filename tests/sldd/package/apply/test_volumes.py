"""A package of volumes' slices: it says which slice, and a receiver reads the same one."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sldd
from sldd.errors import InputError
from sldd.package import Package
from sldd.package.__main__ import main
from sldd.package.combine.alike import check_same_films
from tests.conftest import write_nifti

SIDE = 12


def _volumes() -> tuple[np.ndarray, np.ndarray]:
    """(30, 5, side, side) int16, of two classes by where slice 1 is bright, and their classes."""
    random, classes = np.random.default_rng(0), np.arange(30) % 2
    volumes = random.integers(-500, 500, (30, 5, SIDE, SIDE)).astype(np.int16)
    for volume, number in zip(volumes, classes, strict=True):
        volume[1, 6 * number : 6 * number + 6] += 1500
    return volumes, classes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes in folders of their classes, as arrays and as NIfTI in turns."""
    root = tmp_path_factory.mktemp("volumes")
    for number, (volume, name) in enumerate(zip(*_volumes(), strict=True)):
        place = root / "train" / "ab"[name]
        place.mkdir(parents=True, exist_ok=True)
        if number % 4 < 2:
            np.save(place / f"{number:02d}.npy", volume)
        else:
            write_nifti(place / f"{number:02d}.nii.gz", volume.transpose(2, 1, 0)[::-1, ::-1])
    return root


@pytest.fixture(scope="module")
def package(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    cohort = sldd.open_cohort(folder / "train", source="classes", slice=0.25, cache=cache)
    outer = sldd.OuterSettings(steps=2, batch_size=8, evaluations=1)
    patches = sldd.PatchSettings(input_size=SIDE)
    made = sldd.distill("convnet_w32", cohort, images=2, outer=outer, patches=patches, show_progress=False)
    return made.save(cache / "package.safetensors")


def _applied(package: Path, films: Path, out: Path) -> list[list[str]]:
    assert main(["apply", str(package), str(films), "--out", str(out), "--threads", "1"]) == 0
    return sorted(row[1:4] for row in csv.reader(out.read_text().splitlines()[1:]))


def test_a_receiver_reads_the_makers_slice(folder: Path, package: Path, tmp_path: Path) -> None:
    assert (Package.load(package).slice, Package.load(package).film_size) == (0.25, 512)
    (tmp_path / "slices").mkdir()
    for number, volume in enumerate(_volumes()[0]):
        np.save(tmp_path / "slices" / f"{number}.npy", volume[1])
    ours = _applied(package, folder, tmp_path / "volumes.csv")
    assert ours == _applied(package, tmp_path / "slices", tmp_path / "slices.csv")
    assert len({tuple(row) for row in ours}) > 20


def test_without_a_slice_in_the_package_volumes_are_not_read(
    folder: Path, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = replace(Package.load(package), slice=None)
    assert '"slice"' not in older.to_text()
    older.save(tmp_path / "older.safetensors")
    assert Package.load(tmp_path / "older.safetensors").to_text() == older.to_text()
    status = main(["apply", str(tmp_path / "older.safetensors"), str(folder), "--out", str(tmp_path / "out.csv")])
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 2
    assert "is a volume of several slices, and the package does not say which its maker read" in line
    assert not (tmp_path / "out.csv").exists()


def test_a_cohort_of_another_slice_is_not_scored(folder: Path, package: Path, tmp_path: Path) -> None:
    made = sldd.load(package)
    for place in (0.25, 0.75):
        cohort = sldd.open_cohort(folder / "train", source="classes", slice=place, cache=tmp_path)
        if place == 0.25:
            assert made.score(cohort)["balanced_accuracy"] is not None
            continue
        with pytest.raises(InputError, match=r"data\.slice is 0\.75, and the package's 0\.25"):
            made.score(cohort)


def test_packages_of_other_slices_are_not_put_together(package: Path) -> None:
    one = Package.load(package)
    with pytest.raises(InputError, match=r"b cannot be combined with a: its slice is 0\.5, and there 0\.25"):
        check_same_films([one, replace(one, slice=0.5)], ["a", "b"])
