"""Source of images of one class each: a table with a class a row, or a folder a class (``ImageFolder`` of torchvision).

The table, ``manifest.csv``, has columns ``image`` (a path within the folder) and ``class``, and may have ``subject``,
by which images are grouped, and ``split``. Where there is no table, the images of a class lie in a folder of its name,
in ``data.root`` or in folders ``train``, ``val`` and ``test`` there. Without subjects every image is one.

A class is to a film what a finding is: each has one of them. A subject, as any patient, is in one split.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sldd.errors import InputError
from sldd.io.cells import is_error, is_missing, is_rewritten
from sldd.io.film import Radiograph
from sldd.io.label_table import Table, column, find_column, plain, read_table, refuse_nearly
from sldd.io.patient_ids import patient_id
from sldd.io.safe_path import inside
from sldd.sources.film_files import find_films
from sldd.sources.labelled_films import LABEL_TABLE, LabelledFilms, Row

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class ClassesSettings:
    """Images of one class each."""

    table: str = "manifest.csv"
    """Name of the table in ``data.root``; where there is none, each class is a folder."""
    column: str = "class"
    """Heading of the column with the class."""
    subject: str = "subject"
    """Heading of the column with whom images are grouped by. ``subject`` may be missing: every image is one then."""


@dataclass(frozen=True)
class ClassImage:
    """An image of a table or a folder, and what is said of it."""

    file: Path
    name: str
    """Of its class."""
    subject: str | None
    split: str | None
    where: str
    line: int


class _Images(LabelledFilms):
    """Films of one class each. Colour is refused where gray is read: brightness alone may not tell classes apart."""

    def read(self, film: int) -> tuple[Radiograph, None]:
        image = super().read(film)
        if image[0].coloured:
            raise InputError("the image is in colour; set data.channels=rgb, or save all of them in gray")
        return image


def lists_classes(table: Path) -> bool:
    """Whether a table is one of classes, and not of patients with a label."""
    try:
        header, _ = read_table(table, LABEL_TABLE)
        return (
            find_column(header, LABEL_TABLE, "class") is not None and find_column(header, LABEL_TABLE, "label") is None
        )
    except InputError:
        return False


def read_classes(
    root: Path,
    settings: ClassesSettings,
    film_size: int,
    channels: int = 1,
    place: float | None = None,
    table: Table | None = None,
) -> LabelledFilms:
    """The images of a table, which may be in memory, or of folders.

    Raises:
        InputError: no table and no folders, a missing column, a row that cannot be used, named by its line number, a
            class of one image, or a subject in two splits.
    """
    path = root / settings.table
    notes: list[str] = []
    if table or path.is_file():
        table = table or read_table(path, LABEL_TABLE)
        _check_headings(table[0], settings)
        images = list(listed(path, settings, table))
    elif settings.table != ClassesSettings.table:
        raise InputError(f"data.classes.table: there is no {settings.table} in {root}; correct the name")
    else:
        _check_no_table(settings, root)
        found = find_films(root, named=_named)
        images = list(_in_folders(root, found.paths))
        _check_divided(root, found.paths)
        if left_out := found.in_words():
            notes.append(f"data.root: left out, as no images: {left_out}")
    _check_files(images)
    _check_splits(images)
    classes = _classes(images)
    known = images[0].subject is not None  # all have a subject, or none has
    rows = [
        Row(
            image.subject or f"image-{number:07d}",
            image.file,
            tuple(float(image.name == name) for name in classes),
            image.where,
            image.line,
            image.split,
        )
        for number, image in enumerate(images)
    ]
    return _Images(classes, rows, film_size, notes=notes, channels=channels, patients_known=known, place=place)


def listed(path: Path, settings: ClassesSettings, table: Table | None = None) -> Iterator[ClassImage]:
    """The images of the table in a file, or of one that was read, by its lines.

    Raises:
        InputError: a missing column, or a row that cannot be used.
    """
    header, lines = table or read_table(path, LABEL_TABLE)
    image, name = column(header, LABEL_TABLE, "image"), column(header, LABEL_TABLE, settings.column)
    subject, split = (find_column(header, LABEL_TABLE, heading) for heading in (settings.subject, "split"))
    for line, cells in lines:
        where = f"{LABEL_TABLE} line {line}"
        for place, word in ((image, "image"), (name, settings.column), (subject, settings.subject)):
            if place is not None and not cells[place]:
                raise InputError(f"{where}: {word} is empty; fill it or remove the line")
        yield ClassImage(
            inside(path.parent, cells[image], where),
            _class_name(cells[name], where),
            None if subject is None else patient_id(cells[subject], where),
            None if split is None or not cells[split] else _split(cells[split], where),
            where,
            line,
        )


def _check_headings(header: list[str], settings: ClassesSettings) -> None:
    """Raise an InputError where images would not be grouped, or divided, as the table seems to say."""
    read = set(map(plain, ("image", settings.column, settings.subject, "split")))
    others = ["" if plain(heading) in read else heading for heading in header]
    if find_column(header, LABEL_TABLE, settings.subject) is None:
        if settings.subject != ClassesSettings.subject:
            raise InputError(
                f"data.classes.subject: {LABEL_TABLE} has no column {settings.subject}, by which images are to be "
                f"grouped; name one that it has, or write {ClassesSettings.subject} if each is of another subject"
            )
        refuse_nearly(others, LABEL_TABLE, settings.subject, ("patient",), "name it in data.classes.subject")
    if find_column(header, LABEL_TABLE, "split") is None:
        refuse_nearly(others, LABEL_TABLE, "split")


def _check_no_table(settings: ClassesSettings, root: Path) -> None:
    """Raise an InputError where settings name columns, and there are only folders."""
    for name in ("column", "subject"):
        heading, usual = getattr(settings, name), getattr(ClassesSettings, name)
        if heading != usual:
            raise InputError(
                f"data.classes.{name}: {heading} is a column, and there is no {settings.table} in {root}; add it, or "
                f"write {usual} for folders, whose images are each of another subject"
            )


def _named(folders: Sequence[str]) -> int:
    """How many of a file's folders, from the top, are called after its split and its class: 1, or 2 with a split."""
    has_split = len(folders) > 0 and folders[0].casefold() in _SPLITS
    return 2 if has_split else 1


def _in_folders(root: Path, paths: Sequence[Path]) -> Iterator[ClassImage]:
    """The images of ``CLASS/...`` or of ``SPLIT/CLASS/...`` below ``root``.

    Raises:
        InputError: there are both, or an image lies in no folder of a class.
    """
    in_split = [path.relative_to(root).parts[0].casefold() in _SPLITS for path in paths]
    divided = any(in_split)
    if divided and not all(in_split):
        raise InputError(f"{root}: folders of splits (train, val, test) beside others; put these elsewhere")
    for number, path in enumerate(paths, 1):
        where = f"image {number} of {len(paths)} by name"
        *folders, _ = path.relative_to(root).parts
        if len(folders) < (2 if divided else 1):
            raise InputError(f"{root}: {where} lies in no folder of a class; put it into one, or give a table")
        split = _SPLITS[folders.pop(0).casefold()] if divided else None
        yield ClassImage(path, _class_name(folders[0], where), None, split, where, 0)


def _check_divided(root: Path, paths: Sequence[Path]) -> None:
    """Raise an InputError where the folders that are taken for classes look like splits: all hold the same folders.

    Args:
        paths: of images, each in a folder of a class (``_in_folders``).
    """
    below: defaultdict[str, set[str]] = defaultdict(set)  # by folder of root, the folders in it
    for path in paths:
        *folders, _ = path.relative_to(root).parts
        below[folders[0]].update(folders[1:2])
    same = set.intersection(*below.values())
    if len(below) > 1 and len(same) > 1 and not any(top.casefold() in _SPLITS for top in below):
        raise InputError(
            f"{root}: its {len(below)} folders hold the same {len(same)} folders ({', '.join(sorted(same)[:3])}); "
            "which are the classes? Call parts train, val and test, or give a table"
        )


def _class_name(cell: str, where: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", cell).split())
    if is_missing(name) or is_error(name) or is_rewritten(name) or not name.isprintable():
        raise InputError(f"{where}: the class is a missing value or what a spreadsheet made of it; correct it")
    return name


def _split(cell: str, where: str) -> str:
    if cell.casefold() not in _SPLITS:
        raise InputError(f"{where}: the split is not one of {', '.join(_SPLITS)}; write one of them")
    return _SPLITS[cell.casefold()]


def _check_files(images: Sequence[ClassImage]) -> None:
    first: dict[Path, str] = {}
    for image in images:
        earlier = first.setdefault(image.file, image.where)
        if earlier != image.where:
            raise InputError(f"{image.where}: the image of {earlier} again; remove one of the two")


def _check_splits(images: Sequence[ClassImage]) -> None:
    """Raise an InputError where a subject is in two splits, or some images are in one and others are not."""
    if not any(image.split for image in images):
        return
    first: dict[str, ClassImage] = {}
    for image in images:
        if image.split is None:
            raise InputError(f"{image.where}: the split is empty; fill the column for every row or for none")
        if image.subject is not None and (earlier := first.setdefault(image.subject, image)).split != image.split:
            raise InputError(
                f"{image.where}: the subject of {earlier.where} is in two splits ({earlier.split} and {image.split}); "
                "give all images of a subject one split"
            )


def _classes(images: Sequence[ClassImage]) -> list[str]:
    """The names of the classes, sorted.

    Raises:
        InputError: there is only one, one has one image or none to train on, or two are spelled alike.
    """
    by_class: defaultdict[str, list[ClassImage]] = defaultdict(list)
    for image in images:
        by_class[image.name].append(image)
    classes = sorted(by_class)
    spelled: dict[str, str] = {}
    for name in classes:
        other = spelled.setdefault(plain(name), name)
        if other != name:
            where = by_class[name][0].where
            raise InputError(f"{where}: class {name}, and another is {other}; spell them in one way")
    for name in classes:
        first, *others = by_class[name]
        if not others:
            raise InputError(f"{first.where}: the only image of class {name}; add some, or remove it")
        if first.split and all(image.split != "train" for image in by_class[name]):
            raise InputError(f"{first.where}: class {name} has no image in the train split; add some there")
    if len(classes) < 2:
        raise InputError(f"data.root: all images are of class {classes[0]}; a class is told from at least one other")
    return classes
