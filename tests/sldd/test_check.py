"""``python -m sldd.check``: what was understood of a cohort, in words and as a sheet, or one line on what was not."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.check import chosen, main, sheet
from sldd.data.cohort import prepare
from sldd.data.settings import find_source
from sldd.sources.folder import FolderSource
from tests.conftest import write_dicom, write_manifest


def _ran(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_cohort_in_words(cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = _ran(capsys, cohort_folder, "--cache", tmp_path / "cache")
    assert (status, err) == (0, "")
    cohort = prepare(FolderSource(cohort_folder), tmp_path / "cache")
    lowest, highest = np.array(cohort.ranges).T
    mean, deviation = cohort.intensity(range(12))
    assert out.splitlines() == [
        "read as data.source=folder",
        "12 patients with 12 films; labels of patients: 6 negative (0), 6 positive (1)",
        "sizes, width x height: 64 x 64",
        f"8 bit; values of {lowest.min()} to {highest.max()}, of the middle film {np.median(lowest):.0f} to "
        f"{np.median(highest):.0f}; mean {mean:.1f}, standard deviation {deviation:.1f}",
        "organ masks: on 12 of 12 films, 39.1% to 39.1% of a film, 39.1% in the middle",
        "nothing odd",
    ]
    assert "patient-" not in out


def test_oddities_are_named_by_their_lines_and_come_first_on_the_sheet(
    cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = cohort_folder / "images"
    for number in range(12):
        deep = np.asarray(Image.open(images / f"{number}.png")).astype(np.uint16) * 250
        Image.fromarray(deep >> 4 if number == 7 else deep).save(images / f"{number}.png")
    out = tmp_path / "films.png"
    status, said, _ = _ran(capsys, cohort_folder, "--cache", tmp_path / "cache", "--sheet", out)
    assert status == 0
    assert "note: manifest.csv line 9: values of " in said
    assert f"{out}: films of patients; keep it to yourself" in said
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    cohort = prepare(FolderSource(cohort_folder), tmp_path / "cache")
    assert chosen(cohort)[0] == 7
    picture = np.asarray(sheet(cohort)).astype(int)
    first, second = picture[14:294, 14:294], picture[14:294, 308:588]
    assert first[140, 140].max() < 20 < second[140, 140].min(), "on one scale, it is dark"
    yellow = (240, 228, 66)
    assert (first == yellow).all(axis=2).any()


def test_splits_padding_and_changed_readings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for number in range(6):
        stored = np.random.default_rng(number).integers(100, 4000, (40, 30 + number)).astype(np.uint16)
        stored[:, :5] = 0
        write_dicom(tmp_path / f"{number}.dcm", stored, PixelPaddingValue=0)
        rows.append(f"DOE-{number},{number}.dcm,{number % 2},{('train', 'validation', 'test')[number // 2]}")
    write_manifest(tmp_path, rows, "patient_id,image,label,split")
    status, out, _ = _ran(capsys, tmp_path, "--cache", tmp_path / "cache")
    assert status == 0
    for words in (
        "splits, patients: 2 train, 2 validation, 2 test",
        "sizes, width x height: 30 x 40 (1), 31 x 40 (1), 32 x 40 (1) and 3 more; sides of 30 to 40",
        "no organ masks",
        "padding, which counts as background: on 6 films",
        "films that version 0.1 read otherwise (docs/reading.md): padding: 6",
    ):
        assert words in out
    assert "DOE" not in out


def test_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["patient_id,image,findings"]
    for number in range(4):
        random = np.random.default_rng(number)
        Image.fromarray(random.integers(0, 256, (16, 16), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(f"p{number},{number}.png,{'heart' if number < 2 else ''}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    out = tmp_path / "sheet.png"
    status, said, _ = _ran(capsys, tmp_path, "--cache", tmp_path / "cache", "--sheet", out)
    assert status == 0
    assert "read as data.source=hospital" in said
    assert "4 patients with 4 films; findings, films: 2 heart; 2 without any" in said
    with Image.open(out) as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("name", "kind"),
    [("manifest.csv", "folder"), ("labels.csv", "hospital"), ("train.csv", "chexpert"), ("x.csv", "nih")]
    + [("a.npz", "medmnist"), ("nothing", "folder")],
)
def test_the_kind_is_told_by_the_tables(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).touch()
    assert find_source(tmp_path) == kind


@pytest.mark.parametrize("where", ["nowhere", "films"])
def test_bad_input_gets_one_line_and_leaves_nothing(
    cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    (cohort_folder / "images" / "3.png").write_bytes(b"\x89PNG")
    folder = cohort_folder if where == "films" else tmp_path / where
    out = tmp_path / "films.png"
    status, said, err = _ran(capsys, folder, "--cache", tmp_path / "cache", "--sheet", out)
    assert (status, said) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("sldd.check: ")
    assert not out.exists()
    assert not list(tmp_path.glob("cache/*"))


def test_a_sheet_is_not_laid_where_it_would_be_shared(
    cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.yaml").touch()
    for name, says in (("a.png", "lies in a study"), ("a.jpg", "is a PNG"), ("no/a.png", "lies in a study")):
        status, _, err = _ran(capsys, cohort_folder, "--sheet", tmp_path / name)
        assert status == 2
        assert says in err


def test_volumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volumes = np.random.default_rng(0).integers(0, 255, (6, 5, 16, 12), np.uint8)
    volumes[:, 2] = 255 - volumes[:, 0] // 2  # the middle one is the only bright one
    arrays = {f"{part}_images": volumes for part in ("train", "val", "test")}
    labels = {name.replace("images", "labels"): np.arange(6)[:, None] % 3 for name in arrays}
    np.savez(tmp_path / "x.npz", **arrays, **labels)
    given = (tmp_path, "--cache", tmp_path / "cache")
    status, _, err = _ran(capsys, *given)
    assert status == 2
    assert err == "sldd.check: data.root: train_images are volumes; data.slice=0.5 reads the middle slice of each\n"
    status, said, _ = _ran(capsys, *given, "--slice", 0.5)
    assert status == 0
    assert "18 subjects with 18 images; classes, images: 6 label 0, 6 label 1, 6 label 2" in said
    assert "8 bit; values of 128 to 255" in said
    with pytest.raises(SystemExit, match="2"):
        _ran(capsys, *given, "--slice", -1)
