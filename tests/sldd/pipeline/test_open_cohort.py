"""Cohorts from folders, arrays, Datasets and tables: the same films whichever way, and errors in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

import sldd
from sldd.pipeline.task_data import task_of
from sldd.sources.classes import ClassesSettings
from tests.sldd.pipeline.conftest import banded

Open = Callable[..., Any]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """``sldd.open_cohort`` with a cache of this test."""
    return lambda *given, **settings: sldd.open_cohort(*given, cache=tmp_path / "cache", **settings)


class Items(Dataset[Any]):
    """A Dataset of what a function makes of each banded image."""

    classes = ("top", "middle", "bottom")

    def __init__(self, make: Callable[[np.ndarray], Any]) -> None:
        self._images, self._classes = banded()
        self._make = make

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> tuple[Any, int]:
        return self._make(self._images[number]), int(self._classes[number])


def test_a_folder_is_read_as_its_tables_say(cohort_folder: Path, opened: Open) -> None:
    cohort = opened(cohort_folder)
    assert (cohort.patients, cohort.classes, task_of(cohort)) == (12, [], "patches")
    assert cohort == opened(str(cohort_folder), source="folder")
    with pytest.raises(sldd.InputError, match=r"data\.root: there is no .*nowhere; name the folder"):
        opened(cohort_folder / "nowhere")


@pytest.mark.parametrize(
    "make",
    [
        lambda image: Image.fromarray(image),
        lambda image: torch.from_numpy(image)[None].float() / 255,  # torchvision's ToTensor
        lambda image: image[:, :, None],
    ],
)
def test_a_dataset_gives_the_pixels_that_its_arrays_have(opened: Open, make: Callable[[np.ndarray], Any]) -> None:
    images, classes = banded()
    from_arrays = opened(torch.from_numpy(images), classes, classes=Items.classes)
    from_items = opened(Items(make))
    assert task_of(from_items) == "classes"
    assert from_items.fingerprint == from_arrays.fingerprint
    assert np.array_equal(from_items.pixels(7), images[7])
    assert from_items.film_labels[7].tolist() == [0, 1, 0]


def test_names_findings_masks_subjects_and_splits_are_told_from_arrays(opened: Open) -> None:
    images, classes = banded(12)
    names = np.array(["c", "a", "b"])[classes]
    assert opened(images, pd.Series(names)).classes == ["a", "b", "c"]
    findings = np.eye(3)[classes]
    findings[0] = np.nan
    found = opened(images, findings, subjects=np.arange(12) // 2)
    assert (task_of(found), found.patients, found.classes[0]) == ("multilabel", 6, "finding 1")
    masks = np.zeros(images.shape, bool)
    masks[:, 4:12, 4:12] = True
    split = ["train", "validation", "test", "train"] * 3
    patients = opened(images, classes % 2, masks=masks, splits=split)
    assert (task_of(patients), patients.splits[1], patients.labels[:3]) == ("patches", "validation", [0, 1, 0])
    assert np.array_equal(patients.mask(3), masks[3])
    colour = opened(np.stack([images] * 3, axis=1), classes)
    assert (colour.channels, colour.pixels(0).shape) == (3, (16, 16, 3))
    assert opened(images.astype(np.uint16) * 200, classes).depth == 16


def test_a_table_names_files_below_its_root(tmp_path: Path, cohort_folder: Path, opened: Open) -> None:
    images, classes = banded(9)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    table = pd.DataFrame({"image": [f"{number}.png" for number in range(9)], "class": classes, "subject": range(9)})
    found = opened(table, root=tmp_path)
    assert (found.classes, found.patients) == (["0", "1", "2"], 9)
    assert np.array_equal(found.pixels(4), images[4])
    manifest = pd.read_csv(cohort_folder / "manifest.csv")
    assert opened(manifest, root=cohort_folder).fingerprint == opened(cohort_folder).fingerprint
    table.loc[3, "class"] = None
    with pytest.raises(sldd.InputError, match="label table line 4: class is empty"):
        opened(table, root=tmp_path)
    with pytest.raises(sldd.InputError, match="the path leads out of the table's folder"):
        opened(table.assign(image="/etc/hostname"), root=tmp_path)


@pytest.mark.parametrize("kind", [dict, MappingProxyType, lambda names: ClassesSettings(**names)])
def test_a_table_of_classes_may_have_headings_of_its_own(
    tmp_path: Path, opened: Open, kind: Callable[..., Any]
) -> None:
    """An owner's images are one subject's, which no split divides."""
    for number, image in enumerate(banded(12)[0]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    columns = {"class": list("ab") * 6, "diagnosis": list("xyz") * 4, "owner": list("ppppqqqqrrrr")}
    table = pd.DataFrame({"image": [f"{number}.png" for number in range(12)]} | columns)
    table.to_csv(tmp_path / "manifest.csv", index=False)
    group = kind({"column": "diagnosis", "subject": "owner"})
    for found in (opened(table, root=tmp_path, classes=group), opened(tmp_path, classes=group)):
        assert (found.patients, found.classes) == (3, ["x", "y", "z"])
    assert opened(tmp_path, classes=kind({"subject": "owner"})).classes == ["a", "b"]


def test_a_part_of_a_table_is_that_of_its_folder(cohort_folder: Path, opened: Open) -> None:
    part = opened(pd.read_csv(cohort_folder / "manifest.csv"), root=cohort_folder, part="1/3")
    assert part.patients == 4
    assert part.fingerprint == opened(cohort_folder, part="1/3").fingerprint


@pytest.mark.parametrize(
    ("label", "settings", "kind"),
    [
        ("label", {"slice": 0.5}, "patients with a label and masks"),
        ("label", {"film_size": 64}, "patients with a label and masks"),
        ("class", {"source": "nih"}, "images with a class"),
    ],
)
def test_what_a_table_does_not_take_is_refused(opened: Open, label: str, settings: dict[str, Any], kind: str) -> None:
    table = pd.DataFrame({"patient_id": ["a", "b"], "image": ["a.png", "b.png"], "mask": "", label: [0, 1]})
    (name,) = settings
    with pytest.raises(sldd.InputError, match=f"data.{name}: a table of {kind}, .* has none; leave it out"):
        opened(table, **settings)


def test_a_row_whose_patient_is_not_known_is_refused(tmp_path: Path, opened: Open) -> None:
    table = pd.DataFrame({"image": ["a.png", "b.png"], "class": ["x", "y"], "subject": pd.array([1, None], "Int64")})
    with pytest.raises(sldd.InputError, match="label table line 2: subject is empty"):
        opened(table, root=tmp_path)


class Shaken(Items):
    """Another image each time."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        super().__init__(lambda image: image + random.integers(0, 9, image.shape).astype(np.uint8))


class Halves(Items):
    """With labels 0 and 1, and names of three classes all the same."""

    def __getitem__(self, number: int) -> tuple[Any, int]:
        image, label = super().__getitem__(number)
        return image, label % 2


def test_names_that_a_dataset_has_do_not_keep_masks_from_it(opened: Open) -> None:
    items = Halves(lambda image: image)
    assert opened(items, masks=np.ones((len(items), 16, 16), bool)).classes == []


IMAGES, CLASSES = banded(12)
MASKS = np.ones(IMAGES.shape, bool)


@pytest.mark.parametrize(
    ("given", "settings", "says"),
    [
        ((), {}, "films: not given; give a folder, images, a Dataset or a table"),
        ((IMAGES,), {}, "labels: not given; give one for each image"),
        ((IMAGES, CLASSES[:9]), {}, "labels: 9, and there are 12 images; give one for each"),
        ((IMAGES[:0], CLASSES[:0]), {}, "there are no images"),
        ((IMAGES, CLASSES / 2), {}, "labels: 12 of float64; give a class for each image"),
        ((IMAGES, CLASSES * 0), {}, "labels: all images are of class 0"),
        ((IMAGES, CLASSES), {"classes": ["a", "b"]}, "classes: 2 names, and labels go from 0 to 2"),
        ((IMAGES, CLASSES), {"classes": ["a", "b", "a"]}, "classes: a is named twice; give each a name of its own"),
        ((IMAGES, CLASSES), {"classes": ["a", " ", "b"]}, "classes: name 2 is empty; give each a word"),
        ((IMAGES, np.zeros((len(IMAGES), 0))), {}, "labels: findings without a column"),
        ((IMAGES, np.eye(3)[CLASSES]), {"classes": ["a", "b", "b"]}, "classes: b is named twice"),
        ((IMAGES, ["a", "b", "c"] * 4), {"classes": ["a", "b"]}, r"labels: c is none of classes \(a, b\)"),
        ((IMAGES, np.full((12, 2), 0.5)), {}, "labels: findings are 0, 1, or NaN"),
        ((IMAGES, [["a", "b"]] * 12), {}, "labels: findings are 0, 1, or NaN"),
        ((IMAGES, [[0, 1]] * 11 + [[0]]), {}, "labels: not as many for each image"),
        ((IMAGES, np.array([0, "a"] * 6, dtype=object)), {}, "labels: names and numbers among them"),
        ((IMAGES, np.array([{}] * 12, dtype=object)), {}, "image 1: its label is a dict; give a whole number"),
        ((IMAGES, np.eye(3)[CLASSES]), {"classes": ["a"]}, "classes: 1 names, and labels have 3 columns"),
        ((IMAGES, CLASSES), {"masks": MASKS}, "labels: with masks, patients are told positive from negative"),
        (
            (IMAGES, CLASSES % 2),
            {"masks": MASKS, "classes": ["a", "b"]},
            r"classes: with masks, .* \(0\) .* leave it out",
        ),
        ((IMAGES, CLASSES % 2), {"masks": MASKS, "film_size": 16}, r"data\.film_size: images with masks are cut into"),
        ((IMAGES, CLASSES % 2), {"masks": MASKS[:, 1:]}, "image 1: its mask is 15 x 16 of bool"),
        ((IMAGES, CLASSES % 2), {"masks": MASKS, "subjects": [1] * 12}, "image 2: the patient of image 1 has another"),
        ((IMAGES, CLASSES), {"splits": ["train", "dev"] * 6}, "image 2: the split is not one of train, validation"),
        ((IMAGES, CLASSES), {"subjects": [1] * 12, "splits": ["train", "test"] * 6}, "image 2: .* is in another split"),
        *(
            ((IMAGES, CLASSES), {"subjects": ["a"] * 4 + [nobody] * 8}, "image 5: the patient is an .* missing value")
            for nobody in (None, np.nan, pd.NA, pd.NaT)
        ),
        ((IMAGES, CLASSES), {"subjects": torch.tensor([1.0] * 6 + [np.nan] * 6)}, "image 7: the patient is an .*"),
        ((IMAGES, CLASSES), {"subjects": ["a", " "] * 6}, "image 2: subject is empty"),
        ((IMAGES, CLASSES), {"subjects": ["unknown"] * 12}, "image 1: the patient is a word for nobody"),
        ((IMAGES, ["a", "b", None] * 4), {}, "image 3: its label is a missing value"),
        ((IMAGES.astype(np.float32), CLASSES), {}, r"image 1: floats from 0 to \d+; give integers of 8 or 16 bit"),
        ((IMAGES.astype(np.int64), CLASSES), {}, "image 1: 16 x 16 of int64; give uint8 or uint16"),
        ((IMAGES[:, 0], CLASSES), {}, "image 1: 16 of uint8; an image is height x width"),
        (([Image.new("RGBA", (9, 9))], [0]), {}, "labels: all images are of class 0"),
        ((Items(lambda image: Image.fromarray(image).convert("CMYK")),), {}, "image 1: a Pillow image of mode CMYK"),
        ((Items(lambda image: image), CLASSES), {}, "labels: a Dataset gives .image, label. itself"),
        ((torch.utils.data.TensorDataset(torch.zeros(3, 9, 9)),), {}, r"item 1 of the Dataset is a tuple, not \(image"),
        ((Shaken(),), {}, "image 1: it is another one each time it is read; leave out random transforms"),
        ((iter([1]), CLASSES), {}, "films: a data set without a length"),
        (("there", CLASSES), {}, "labels: goes with images in memory"),
        (("there",), {"classes": ["a", "b"]}, "classes: goes with images in memory"),
        ((), {"source": "phantom", "classes": ["a", "b"]}, "classes: goes with images in memory"),
        ((IMAGES, CLASSES), {"classes": {"subject": "owner"}}, r"data\.classes: is for files"),
        (
            (),
            {"source": "phantom", "classes": {"subject": "owner"}},
            r"data\.classes: is not read of phantom; leave it",
        ),
        (
            ("there",),
            {"classes": {"subjct": "owner"}},
            r"unknown setting data\.classes\.subjct; .* data\.classes\.subj",
        ),
        (
            (),
            {"source": "phantom", "phantom": {"patiens": 9}},
            r"data\.phantom\.patiens; did you mean data\.phantom\.pat",
        ),
        (("there",), {"split": {"test": 0.5}}, r"data\.split: .* give split to sldd\.distill"),
        *(
            ((IMAGES, CLASSES), given, rf"data\.{name}: is for files, .* leave it out")
            for name, given in (
                ("part", {"film_size": 16, "part": "1/2"}),
                ("slice", {"slice": 0.5}),
                ("channels", {"channels": "rgb"}),
                ("source", {"source": "folder"}),
                ("root", {"root": "there"}),
            )
        ),
        ((Items(lambda image: image),), {"part": "1/2"}, r"data\.part: is for files"),
        ((), {"chanels": "rgb"}, r"unknown setting data\.chanels; did you mean data\.channels\?"),
        ((), {"source": "phantom", "film_size": 64}, r"data\.film_size: films of phantom are cut into patches"),
        ((), {"source": "phantom", "root": "films"}, r"data\.root: phantoms are drawn and not read"),
        ((), {"source": "phantom", "film_size": 3}, r"data\.film_size: input should be greater than or equal to 16"),
    ],
)
def test_what_cannot_be_a_cohort_is_refused_in_words(
    opened: Open, given: tuple[Any, ...], settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(sldd.InputError, match=says):
        opened(*given, **settings)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([np.zeros((4, 4), np.uint8)] * 2, "ndarray"),
        ([torch.zeros(4, 4)] * 2, "Tensor"),
        ([[[1, 2], [3]]] * 2, "list"),
        ([Image.new("L", (4, 4))] * 2, "Image"),
    ],
)
def test_images_in_a_table_are_no_files(opened: Open, column: list[Any], kind: str) -> None:
    table = pd.DataFrame({"image": column, "class": ["x", "y"]})
    with pytest.raises(
        sldd.InputError, match=rf"table line 1: image is a {kind}, .* give images in memory as films=..., labels="
    ):
        opened(table)
