"""Images of one class each: a table with a class a row, or a folder a class."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import DataSettings, find_source, open_source
from sldd.data.split import SplitSettings, split_patients
from sldd.errors import InputError
from sldd.io.film import Source
from sldd.sources.classes import ClassesSettings

HEADER = "image,class,subject,split"
ROWS = [
    "a.png,red,s1,train", "b.png,white,s1,train", "c.png,red,s2,train", "d.png,white,s3,val", "e.png,red,s3,val",
    "f.png,red,s4,test", "g.png,white,s4,test",
]  # fmt: skip


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number = zlib.crc32(str(path).encode())
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)).save(path)


def _source(root: Path, **settings: str) -> Source:
    data = DataSettings(source="classes", root=str(root), channels="rgb", classes=ClassesSettings(**settings))
    return open_source(data)


def _table(root: Path, rows: list[str], header: str = HEADER) -> Path:
    for row in rows:
        _image(root / row.split(",")[0])
    (root / "manifest.csv").write_text("\n".join([header, *rows]))
    return root


def _cohort(root: Path, **settings: str) -> Cohort:
    return prepare(_source(root, **settings), root.parent / "cache")


def test_a_table_groups_images_by_subject_and_keeps_its_splits(tmp_path: Path) -> None:
    root = _table(tmp_path / "images", ROWS)
    cohort = _cohort(root)
    assert cohort.classes == ["red", "white"]
    assert cohort.channels == 3
    assert cohort.film_labels.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [1, 0], [0, 1]]
    assert cohort.films_of == [[0, 1], [2], [3, 4], [5, 6]]
    split = split_patients(cohort, SplitSettings())
    assert (split.train, split.validation, split.test) == ([0, 1], [2], [3])
    assert find_source(root) == "classes"


def test_headings_may_be_named(tmp_path: Path) -> None:
    plain = _source(_table(tmp_path / "plain", ROWS))
    named = _source(_table(tmp_path / "named", ROWS, "image,cell,film,split"), column="cell", subject="film")
    assert [film.findings for film in named.films] == [film.findings for film in plain.films]
    assert named.patient_ids == plain.patient_ids == ["s1", "s2", "s3", "s4"]


@pytest.mark.parametrize(
    ("header", "settings", "says"),
    [
        (
            "image,class,film,split",
            {"subject": "smear"},
            "data.classes.subject: label table has no column smear",
        ),
        (
            "image,class,subject_id,split",
            {},
            "no column subject, and column 3 has subject .*data.classes.subj",
        ),
        ("image,class,Patient,split", {}, "no column subject, and column 3 has patient in its heading"),
        ("image,class,subject,data_split", {}, "no column split, and column 4 has split in its heading"),
    ],
)
def test_images_are_not_left_alone_by_a_heading_that_was_missed(
    tmp_path: Path, header: str, settings: dict[str, str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        _source(_table(tmp_path, ROWS, header), **settings)


@pytest.mark.parametrize("heading", ["patient_group", "subject_class", "split_type"])
def test_the_column_of_classes_is_none_that_was_missed(tmp_path: Path, heading: str) -> None:
    rows = [",".join(row.split(",")[:2]) for row in ROWS]
    assert len(_source(_table(tmp_path, rows, f"image,{heading}"), column=heading).films) == len(ROWS)


def test_without_splits_a_subject_is_still_in_one(tmp_path: Path) -> None:
    rows = [f"{number}.png,{'red' if number % 2 else 'white'},s{number // 4}" for number in range(60)]
    cohort = _cohort(_table(tmp_path / "images", rows, "image,class,subject"))
    split = split_patients(cohort, SplitSettings())
    films = [{film for patient in part for film in cohort.films_of[patient]} for part in vars(split).values()]
    assert sum(map(len, films)) == len(set.union(*films)) == 60
    assert all({film // 4 * 4 + step for film in part for step in range(4)} == part for part in films)


def test_the_splits_are_in_the_fingerprint(tmp_path: Path) -> None:
    root = _table(tmp_path / "images", ROWS)
    before = _source(root).fingerprint()
    (root / "manifest.csv").write_text(
        "\n".join([HEADER, *ROWS[:5], *(row.replace("test", "val") for row in ROWS[5:])])
    )
    assert _source(root).fingerprint() != before


def test_channels_and_the_slice_are_in_the_fingerprint(tmp_path: Path) -> None:
    root = str(_table(tmp_path / "images", ROWS))
    gray = DataSettings(source="classes", root=root)
    how = [gray, replace(gray, channels="rgb"), replace(gray, slice=0.0), replace(gray, slice=0.5)]
    assert len({open_source(settings).fingerprint() for settings in how}) == 4


def test_colour_is_not_read_as_brightness_unasked(tmp_path: Path) -> None:
    source = open_source(DataSettings(source="classes", root=str(_table(tmp_path / "images", ROWS))))
    with pytest.raises(
        InputError, match=r"line 2: the image is in colour; set data\.channels=rgb, or save all of them"
    ):
        prepare(source, tmp_path / "cache")


@pytest.mark.parametrize("splits", [(), ("train", "val", "test"), ("Training", "validation", "Testing")])
def test_folders_are_classes(tmp_path: Path, splits: tuple[str, ...]) -> None:
    root = tmp_path / "images"
    for split in splits or ("",):
        for name in ("red", "white cell"):
            for number in range(2):
                _image(root / split / name / "deeper" / f"{number}.png")
    (root / "readme.txt").write_text("x")
    source = _source(root)
    assert list(source.classes) == ["red", "white cell"]
    assert len(source.patient_ids) == len(source.films) == 4 * max(1, len(splits))
    assert {film.split for film in source.films} == ({"train", "validation", "test"} if splits else {None})
    assert all(sum(film.findings) == 1 for film in source.films)
    prepare(source, tmp_path / "cache")


@pytest.mark.parametrize("split", ["", "train"])
def test_a_class_may_be_called_as_masks_are_and_what_is_left_out_is_noted(tmp_path: Path, split: str) -> None:
    root = tmp_path / "images"
    for name in ("seg/seg_0.png", "seg/1.png", "band/0.png", "band/1.png", "band/1_mask.png", "band/masks/0.png"):
        _image(root / split / name)
    source = _source(root)
    assert list(source.classes) == ["band", "seg"]
    assert len(source.films) == 4
    assert source.notes == ["data.root: left out, as no images: 1 file in folders of masks, 1 mask by its name"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*ROWS, "h.png,blue,s5,test"], "label table line 9: the only image of class blue; add some, or remove it"),
        (
            [*ROWS, "h.png,red,s1,test"],
            r"line 9: the subject of label table line 2 is in two splits \(train and test\)",
        ),
        ([*ROWS, "h.png,red,s5,"], "line 9: the split is empty"),
        ([*ROWS, "h.png,red,s5,later"], "line 9: the split is not one of train, training, val"),
        ([*ROWS, "h.png,,s5,test"], "line 9: class is empty"),
        ([*ROWS, "h.png,red,,test"], "line 9: subject is empty"),
        ([*ROWS, "h.png,#N/A,s5,test"], "line 9: the class is a missing value"),
        ([*ROWS, "h.png,Red,s5,test", "i.png,Red,s5,test"], "class red, and another is Red; spell them in one way"),
        ([*ROWS, "h.png,blue,s5,test", "i.png,blue,s5,test"], "line 9: class blue has no image in the train split"),
        ([*ROWS, "a.png,red,s1,train"], "line 9: the image of label table line 2 again"),
        (ROWS[:1] + ROWS[2:3], "all images are of class red"),
    ],
)
def test_rows_that_cannot_be_used_get_one_line(tmp_path: Path, rows: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        _source(_table(tmp_path / "images", rows))
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_used_get_one_line(tmp_path: Path) -> None:
    for name in ("train/red/0.png", "train/red/1.png", "other/red/0.png"):
        _image(tmp_path / "a" / name)
    with pytest.raises(InputError, match=r"folders of splits .* beside others"):
        _source(tmp_path / "a")
    for name in ("red/0.png", "red/1.png", "x.png"):
        _image(tmp_path / "b" / name)
    with pytest.raises(InputError, match="image 3 of 3 by name lies in no folder of a class"):
        _source(tmp_path / "b")
    for name in ("site 1/red/0.png", "site 1/blue/0.png", "site 2/red/0.png", "site 2/blue/0.png"):
        _image(tmp_path / "c" / name)
    with pytest.raises(InputError, match=r"2 folders hold the same 2 folders \(blue, red\); which are the classes"):
        _source(tmp_path / "c")
    with pytest.raises(InputError, match=r"data.classes.table: there is no labels.csv in"):
        _source(tmp_path / "c", table="labels.csv")


def test_a_folder_that_is_a_link_is_counted(tmp_path: Path) -> None:
    for name in ("a/red/0.png", "a/red/1.png", "a/blue/0.png", "a/blue/1.png", "elsewhere/0.png", "elsewhere/1.png"):
        _image(tmp_path / name)
    (tmp_path / "a" / "green").symlink_to(tmp_path / "elsewhere")
    assert _source(tmp_path / "a").notes == [
        "data.root: left out, as no images: 1 folder that is a link, with all that is in it"
    ]


@pytest.mark.parametrize("name", ["column", "subject"])
def test_a_column_without_a_table_is_refused(tmp_path: Path, name: str) -> None:
    for file in ("red/0.png", "red/1.png", "blue/0.png", "blue/1.png"):
        _image(tmp_path / file)
    with pytest.raises(InputError, match=f"data.classes.{name}: film is a column, and there is no manifest.csv in"):
        _source(tmp_path, **{name: "film"})


def test_whether_copies_are_refused_does_not_depend_on_the_cache(tmp_path: Path) -> None:
    """The files and their classes are the same with and without subjects."""
    names = ["a.png", "b.png", "c.png", "d.png"]
    rows = [f"{name},{kind}" for name, kind in zip(names, ["red", "white"] * 2, strict=True)]
    root = _table(tmp_path / "images", rows, "image,class")
    (root / "d.png").write_bytes((root / "b.png").read_bytes())
    assert _cohort(root).notes == ["copies of films are there twice: 1"]
    lines = [f"{row},s{number}" for number, row in enumerate(rows)]
    (root / "manifest.csv").write_text("\n".join(["image,class,subject", *lines]))
    with pytest.raises(InputError, match="line 5: the same pixels as label table line 3, but another patient"):
        _cohort(root)
