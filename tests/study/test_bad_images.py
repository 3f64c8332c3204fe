"""``python -m study.run task=classes`` on images that cannot be read: one line, status 2, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.data.cohort import prepare
from sldd.data.settings import DataSettings, open_source
from study.run import main
from tests.conftest import write_dicom, write_nifti

RED = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
VOLUME = np.random.default_rng(1).integers(-500, 500, (5, 16, 12)).astype(np.int16)
SPLITS = ("train", "train", "train", "val", "test")
ROWS = "image,class,subject,split\n" + "\n".join(
    f"{number}.png,{('red', 'blue')[number % 2]},s{number // 2},{SPLITS[number // 2]}" for number in range(10)
)


def _add(row: str) -> Callable[[Path], None]:
    return lambda root: (root / "manifest.csv").write_text(f"{ROWS}\n{row}")  # type: ignore[func-returns-value]


def _replace(pixels: np.ndarray, mode: str | None = None) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        image = Image.fromarray(pixels)
        file = root / "3.png"
        image.convert(mode).save(file, format="TIFF" if mode == "CMYK" else "PNG") if mode else image.save(file)

    return write


def _frames(root: Path) -> None:
    write_dicom(root / "3.png", np.zeros((40, 24), np.uint16), Rows=20, NumberOfFrames=2)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _refused(capsys: pytest.CaptureFixture[str], out: Path, *settings: str) -> str:
    assert main(["demo", "task=classes", "grid.norm=[as_is]", *settings, "--out", str(out), "--address", "local"]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert "Traceback" not in said.out + said.err
    assert not out.exists()
    return line


LINE = "study.run: label table line 5: "
SAVE = "save it as RGB of 8 bit"


@pytest.mark.parametrize(
    ("spoil", "channels", "says"),
    [
        (_replace(RED[..., 0]), "rgb", f"{LINE}the image is gray; save it in colour (RGB), or set data.channels=gray"),
        (lambda _: None, "gray", "study.run: label table line 2: the image is in colour; set data.channels=rgb, or "),
        (_replace(RED, "P"), "rgb", f"{LINE}the image has a palette; {SAVE}"),
        (_replace(RED, "CMYK"), "rgb", f"{LINE}the image is CMYK; {SAVE}"),
        (_replace(np.dstack([RED, RED[..., 0]])), "rgb", f"{LINE}the image is transparent somewhere, so that viewers"),
        (_add("0.png,green,s0,train"), "rgb", "study.run: label table line 12: the image of label table line 2 again"),
        (_add("x.png,green,s0,train"), "rgb", "study.run: label table line 12: the only image of class green; add som"),
        (_add("x.png,red,s0,test"), "rgb", "study.run: label table line 12: the subject of label table line 2 is in t"),
        (_frames, "gray", "study.run: label table line 2: the image is in colour"),
        (_frames, "rgb", f"{LINE}the DICOM file is gray; save it in colour (RGB), or set data.channels=gray"),
    ],
    ids=[
        "gray",
        "all in colour",
        "palette",
        "CMYK",
        "alpha",
        "twice",
        "one image",
        "splits",
        "frames",
        "frames in rgb",
    ],
)
def test_a_table_of_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], channels: str, says: str
) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for number in range(10):
        Image.fromarray(np.roll(RED, number, 0)).save(root / f"{number}.png")
    Image.fromarray(RED[::-1]).save(root / "x.png")
    (root / "manifest.csv").write_text(ROWS)
    spoil(root)
    given = ["data.source=classes", f"data.root={root}", f"data.channels={channels}"]
    assert _refused(capsys, tmp_path / "out", *given).startswith(says)


def test_a_stack_of_frames_where_an_image_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        (tmp_path / "films" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 4096, (60, 24), np.uint16)
        write_dicom(tmp_path / "films" / "ab"[number % 2] / f"{number}.dcm", pixels, Rows=20, NumberOfFrames=3)
    given = ["data.source=classes", f"data.root={tmp_path / 'films'}"]
    assert _refused(capsys, tmp_path / "out", *given) == (
        "study.run: image 1 of 8 by name: the DICOM file holds more than one frame; export the one that is meant, or "
        "of images of one class each let data.slice choose (0.5: the middle one)"
    )
    assert "data.slice" in _refused(capsys, tmp_path / "out", "task=patches", "data.slice=0.5")
    cohort = prepare(
        open_source(DataSettings(source="classes", root=str(tmp_path / "films"), slice=0.5)), tmp_path / "cohorts"
    )
    assert cohort.shapes == [[20, 24]] * 8


@pytest.mark.parametrize(
    ("name", "values", "settings", "says"),
    [
        (
            "v.npy",
            VOLUME,
            [],
            "the NumPy file is a volume of 5 slices; save the one that is meant",
        ),
        (
            "v.nii",
            VOLUME,
            [],
            "the NIfTI file is a volume of 12 slices; save the one that is meant",
        ),
        (
            "v.nii",
            np.stack([VOLUME] * 2, 3),
            ["data.slice=0.5"],
            "the NIfTI file is 5 x 16 x 12 x 2, and one",
        ),
        (
            "v.npy",
            VOLUME.astype(complex),
            ["data.slice=0.5"],
            "the NumPy file holds no plain numbers",
        ),
        (
            "v.npy",
            VOLUME * np.nan,
            ["data.slice=0.5"],
            "the NumPy file holds values that are not finite (NaN)",
        ),
        (
            "v.npy",
            0 * VOLUME,
            ["data.slice=1"],
            "slice 5 of 5 of the NumPy file is empty",
        ),
        (
            "v.npy",
            VOLUME,
            ["data.slice=0.5", "data.channels=rgb"],
            "the NumPy file is gray; save it in colour",
        ),
    ],
    ids=["npy", "nii", "4D", "complex", "NaN", "empty", "rgb"],
)
def test_volumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, values: np.ndarray, settings: list[str], says: str
) -> None:
    root = tmp_path / "films"
    root.mkdir()
    for number in range(8):
        np.save(root / f"{number}.npy", VOLUME + number)
    if name.endswith(".nii"):
        write_nifti(root / name, values)
    else:
        np.save(root / name, values)
    rows = [f"{name},a", *(f"{number}.npy,{'ab'[number % 2]}" for number in range(8))]
    (root / "manifest.csv").write_text("\n".join(["image,class", *rows]))
    given = ["data.source=classes", f"data.root={root}", *settings]
    assert _refused(capsys, tmp_path / "out", *given).startswith(f"study.run: label table line 2: {says}")


def test_a_slice_out_of_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["data.source=classes", f"data.root={tmp_path}", "data.slice=1.5"]
    assert "data.slice: input should be less than or equal to 1" in _refused(capsys, tmp_path / "out", *given)


@pytest.mark.parametrize(
    ("arrays", "settings", "says"),
    [
        ({}, ["set=blodmnist"], "study.run: data.medmnist.set: no set is called blodmnist; did you mean bloodmnist?"),
        (
            {"test_labels": np.full((8, 1), 9)},
            ["set=bloodmnist"],
            "study.run: data.medmnist.set: bloodmnist has 8 classes, and the file's labels are of 10 (0 to 9)",
        ),
        ({"test_labels": np.full((8, 1), -1)}, ["set=bloodmnist"], "study.run: data.root: labels other than 0 and 1"),
        (
            {f"{part}_images": np.zeros((8, 6, 6, 6), np.uint8) for part in ("train", "val", "test")},
            [],
            "study.run: data.root: train_images are volumes; data.slice=0.5 reads the middle slice of each",
        ),
        (
            {"val_images": np.zeros((8, 6, 6, 3), np.uint8)},
            [],
            "study.run: data.root: val_images are in colour, and those of other parts are not; is it MedMNIST's?",
        ),
    ],
    ids=["set", "label", "below", "volumes", "channels"],
)
def test_a_file_of_medmnist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, np.ndarray], settings: list[str], says: str
) -> None:
    whole = {f"{part}_images": np.zeros((8, 6, 6), np.uint8) for part in ("train", "val", "test")}
    whole |= {f"{part}_labels": np.arange(8)[:, None] for part in ("train", "val", "test")}
    (tmp_path / "sets").mkdir()
    np.savez(tmp_path / "sets" / "bloodmnist.npz", **whole | arrays)  # type: ignore[arg-type]
    named = [f"data.medmnist.{each}" for each in settings]
    given = ["data.source=medmnist", f"data.root={tmp_path / 'sets'}", *named]
    assert _refused(capsys, tmp_path / "out", *given).startswith(says)
