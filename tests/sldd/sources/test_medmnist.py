"""MedMNIST files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import DataSettings, open_source
from sldd.data.split import SplitSettings, split_patients
from sldd.errors import InputError
from sldd.sources.medmnist import MedMnistSettings, MedMnistSource
from sldd.sources.subset import PartOfPatients
from tests.shared_data import DATA

REAL = DATA / "medmnist"
COUNTS = {"train": 6, "val": 3, "test": 4}


def _arrays(classes: int = 3, top: int = 1, columns: bool = True) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    arrays = {}
    for part, count in COUNTS.items():
        arrays[f"{part}_images"] = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = random.integers(0, top + 1, (count, classes if columns else 1))
        labels[0], labels[1] = 0, top
        arrays[f"{part}_labels"] = labels
    return arrays


def _cohort(tmp_path: Path, arrays: dict[str, np.ndarray], *names: str, size: int = 512) -> Cohort:
    (tmp_path / "m").mkdir(exist_ok=True)
    np.savez(tmp_path / "m" / "some.npz", **arrays)  # type: ignore[arg-type]
    settings = DataSettings(
        source="medmnist", root=str(tmp_path / "m"), film_size=size, medmnist=MedMnistSettings(classes=names)
    )
    return prepare(open_source(settings), tmp_path / "cache")


def test_images_labels_and_parts(tmp_path: Path) -> None:
    arrays = _arrays()
    cohort = _cohort(tmp_path, arrays, "a", "b", "c")
    assert cohort.classes == ["a", "b", "c"]
    np.testing.assert_array_equal(cohort.film_labels, np.concatenate([arrays[f"{part}_labels"] for part in COUNTS]))
    np.testing.assert_array_equal(cohort.pixels(7), arrays["val_images"][1])
    split = split_patients(cohort, SplitSettings())
    assert (split.train, split.validation, split.test) == ([*range(6)], [6, 7, 8], [9, 10, 11, 12])


def test_two_values_are_one_class_and_more_are_a_class_each(tmp_path: Path) -> None:
    arrays = _arrays(top=1, columns=False)
    one = _cohort(tmp_path, arrays)
    assert one.classes == ["label 0"]
    np.testing.assert_array_equal(one.film_labels[:6], arrays["train_labels"])
    arrays = _arrays(top=4, columns=False)
    five = _cohort(tmp_path, arrays)
    assert five.film_labels.shape == (13, 5)
    np.testing.assert_array_equal(five.film_labels[:6].argmax(1), arrays["train_labels"][:, 0])


def test_scaled_like_all_films(tmp_path: Path) -> None:
    assert _cohort(tmp_path, _arrays(), size=16).shapes[0] == [16, 16]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"val_labels": None}, "has no val_images or val_labels"),
        ({"test_images": np.zeros((4, 28, 28, 3), np.uint8)}, "test_images are in colour, and those of other parts"),
        ({"test_images": np.zeros((4, 28, 28))}, "test_images are not images of 8 bits"),
        ({"test_labels": np.zeros((3, 3), int)}, "test_labels are not a row of whole numbers"),
        ({"test_labels": np.full((4, 3), 2)}, "labels other than 0 and 1"),
        ({"test_labels": np.array([[None] * 3] * 4)}, "cannot be read"),
        ({f"{part}_{what}": np.zeros((0, *rest), np.uint8) for part in COUNTS
          for what, rest in (("images", (28, 28)), ("labels", (3,)))}, "holds no images"),
    ],
)  # fmt: skip
def test_other_files_get_one_line(tmp_path: Path, change: dict[str, np.ndarray | None], says: str) -> None:
    arrays = {name: value for name, value in {**_arrays(), **change}.items() if value is not None}
    with pytest.raises(InputError, match=says) as caught:
        _cohort(tmp_path, arrays)
    assert "\n" not in str(caught.value)


def test_names_must_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 names for 3 classes"):
        _cohort(tmp_path, _arrays(), "a", "b")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"text"])
def test_a_damaged_file_gets_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"the \.npz file cannot be read"):
        open_source(DataSettings(source="medmnist", root=str(tmp_path / "some.npz")))


def test_real_file(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no medmnist file in {REAL.parent}; set SLDD_DATA to the folder that holds it")
    cohort = prepare(open_source(DataSettings(source="medmnist", root=str(REAL))), tmp_path)
    assert [cohort.splits.count(part) for part in ("train", "validation", "test")] == [546, 78, 156]
    assert cohort.film_labels.sum() == 570


def test_a_missing_value_is_no_class(tmp_path: Path) -> None:
    """-1 in a file of unsigned bytes is 255."""
    arrays = _arrays(top=4, columns=False)
    arrays["train_labels"] = np.arange(6)[:, None] % 5
    arrays["train_labels"][3] = 255
    with pytest.raises(InputError, match="labels up to 255, and none is 5; if 255 is no missing value, name all"):
        _cohort(tmp_path, arrays)
    arrays["train_labels"][3] = 6
    assert len(_cohort(tmp_path, arrays, *"abcdefg").classes) == 7


def test_a_class_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.medmnist\.classes: a class is named twice"):
        _cohort(tmp_path, _arrays(), "mass", "Mass", "nodule")


def test_a_part_of_it_names_no_patients_either(tmp_path: Path) -> None:
    arrays = _arrays()
    arrays["train_images"][:] = arrays["train_images"][0]
    (tmp_path / "m").mkdir()
    np.savez(tmp_path / "m" / "some.npz", **arrays)  # type: ignore[arg-type]
    source = open_source(DataSettings(source="medmnist", root=str(tmp_path / "m"), part="1/1"))
    assert prepare(source, tmp_path / "cache").patients == 13


def _colour(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same images with two more channels."""
    return {
        name: np.stack([value, 255 - value, value // 2], 3) if name.endswith("images") else value
        for name, value in arrays.items()
    }


def _in_colour(tmp_path: Path, arrays: dict[str, np.ndarray], size: int = 512) -> Cohort:
    np.savez(tmp_path / "some.npz", **arrays)  # type: ignore[arg-type]
    settings = DataSettings(source="medmnist", root=str(tmp_path), film_size=size, channels="rgb")
    return prepare(open_source(settings), tmp_path / "cache")


def test_images_in_colour(tmp_path: Path) -> None:
    arrays = _colour(_arrays())
    np.testing.assert_array_equal(_in_colour(tmp_path, arrays).pixels(7), arrays["val_images"][1])
    small = _in_colour(tmp_path, arrays, size=16).pixels(7)
    assert small.shape == (16, 16, 3)
    assert small.mean((0, 1)) == pytest.approx(arrays["val_images"][1].mean((0, 1)), abs=3)


def test_other_channels_than_were_asked_for_are_refused_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train_images are in colour; set data\.channels=rgb"):
        _cohort(tmp_path, _colour(_arrays()))
    with pytest.raises(InputError, match=r"train_images are gray; set data\.channels=gray"):
        _in_colour(tmp_path, _arrays())
    mixed = _arrays() | {name: value for name, value in _colour(_arrays()).items() if name.startswith("val")}
    with pytest.raises(InputError, match="val_images are in colour, and those of other parts are not"):
        _cohort(tmp_path, mixed)


def test_shapes_of_two_values_compress_as_they_like(tmp_path: Path) -> None:
    """As vesselmnist3d_64: 300 volumes of a ball take 79 MB, and a hundredth of that in the file."""
    ball = (sum((axis - 31.5) ** 2 for axis in np.ogrid[:64, :64, :64]) < 400).astype(np.uint8) * 255
    arrays: dict[str, np.ndarray] = {}
    for part, count in {"train": 300, "val": 3, "test": 3}.items():
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = np.stack([ball] * count), np.arange(count)[:, None] % 2
    path = tmp_path / "shapes.npz"
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    assert path.stat().st_size < 300 * ball.nbytes / 100
    cohort = prepare(open_source(DataSettings(source="medmnist", root=str(path), slice=0.5)), tmp_path / "cache")
    np.testing.assert_array_equal(cohort.pixels(0), ball[32])


def test_of_volumes_a_slice_is_read(tmp_path: Path) -> None:
    arrays = _arrays()
    volumes = {name: np.stack([each, 255 - each] * 2, 1) if "images" in name else each for name, each in arrays.items()}
    with pytest.raises(InputError, match=r"train_images are volumes; data\.slice=0\.5 reads the middle slice of each"):
        _cohort(tmp_path, volumes)
    whole, prints, file = arrays["train_images"], set(), tmp_path / "m" / "some.npz"
    for place, wanted in ((0.0, whole), (0.5, whole), (1.0, 255 - whole)):
        source = MedMnistSource(file, MedMnistSettings(), 512, place=place)
        np.testing.assert_array_equal(source.read(1)[0], wanted[1])
        prints.add(source.fingerprint())
    assert len(prints) == 3
    part = PartOfPatients(source, "1/2")
    assert (part.slice, part.film_size) == (1.0, 512), "packages say how their films were read"
    np.savez(file, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"data\.slice: train_images are no volumes; leave it out"):
        MedMnistSource(file, MedMnistSettings(), 512, place=0.5)


def _of_set(tmp_path: Path, name: str, *, file: str = "bloodmnist.npz", top: int = 7) -> Cohort:
    (tmp_path / "sets").mkdir(exist_ok=True)
    arrays = _arrays(top=top, columns=False)
    arrays["train_labels"] = np.arange(len(arrays["train_images"]))[:, None] * top // 5
    arrays["val_labels"][:, 0] = [top, top - 1, top - 2]
    arrays["test_labels"][:, 0] = range(4)
    np.savez(tmp_path / "sets" / file, **arrays)  # type: ignore[arg-type]
    settings = DataSettings(source="medmnist", root=str(tmp_path / "sets"), medmnist=MedMnistSettings(set=name))
    return prepare(open_source(settings), tmp_path / "cache")


def test_a_set_by_name_has_its_file_and_its_classes(tmp_path: Path) -> None:
    cohort = _of_set(tmp_path, "bloodmnist", file="bloodmnist_64.npz")
    assert cohort.classes[0] == "basophil"
    assert len(cohort.classes) == 8
    assert cohort.film_labels.sum(1).tolist() == [1.0] * 13
    with pytest.raises(InputError, match=r"bloodmnist\.npz and bloodmnist_64\.npz in .*; name one file"):
        _of_set(tmp_path, "bloodmnist")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bloodmnst", r"data\.medmnist\.set: no set is called bloodmnst; did you mean bloodmnist\?"),
        ("organmnist3d", r"data\.root: no organmnist3d\.npz or organmnist3d_64\.npz in .*; name one file"),
        ("dermamnist", r"data\.root: no dermamnist\.npz or dermamnist_64\.npz in .*; name one file"),
        ("octmnist", r"data\.medmnist\.set: octmnist has 4 classes, and the file's labels are of 8 \(0 to 7\)"),
    ],
)
def test_a_set_that_is_not_there(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        _of_set(tmp_path, name, file="octmnist.npz")
