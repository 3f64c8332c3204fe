"""Opens a cohort from a folder, arrays, a torch ``Dataset`` or a table in memory."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from sldd.data.cohort import Cohort, default_cache, prepare
from sldd.data.settings import TOLD_WHOLE, DataSettings, find_source, open_source
from sldd.errors import InputError
from sldd.io.film import CHANNELS, Source
from sldd.io.label_table import Table, find_column
from sldd.pipeline.array_source import ArraySource
from sldd.sources.classes import ClassesSettings, read_classes
from sldd.sources.folder import FolderSource
from sldd.sources.subset import PartOfPatients

_TABLE = "table"
_FOR_IMAGES = ("film_size", "cache")
"""Settings that go with images in memory."""
_FOR_PATIENT_TABLES = ("root", "channels", "part", "cache")
"""Settings that go with a table in memory of patients, with a label and masks."""
_FOR_CLASS_TABLES = (*_FOR_PATIENT_TABLES, "classes", "film_size", "slice")
"""Settings that go with a table in memory of images, with a class each."""


def open_cohort(
    films: Any = None,
    labels: Any = None,
    *,
    masks: Any = None,
    subjects: Any = None,
    splits: Any = None,
    classes: Sequence[str] | Mapping[str, str] | ClassesSettings = (),
    **settings: Any,
) -> Cohort:
    """Open a cohort; decoded films are kept in ``cache``, the user's own cache folder unless given.

    Args:
        films: one of

            - a folder, read as ``data.source`` says, or else by the tables in it (as ``python -m sldd.check`` does);
            - images as an array, a tensor or a list (``sldd.pipeline.array_source``), with ``labels``;
            - a torch ``Dataset`` of (image, label), whose ``classes`` name the labels where it has them;
            - a pandas table with columns ``image`` and ``class``, perhaps ``subject`` and ``split``, or those of a
              manifest (``patient_id, image, mask, label``); files are looked for in ``root``;
            - nothing: what the settings name, such as ``source="phantom"``.
        labels: (images,) a class each, as a number or a name; (images, findings) 0, 1 or NaN; with masks 0 or 1.
        masks: (images,) organ masks: patients are then told positive from negative by their patches.
        subjects: (images,) whom each is of; a subject is in one split. Each is its own unless given.
        splits: (images,) ``train``, ``validation`` or ``test``; drawn by ``sldd.SplitSettings`` unless given.
        classes: names, in the order of their numbers, of images in memory without masks; for files the settings group
            ``data.classes``, such as ``{"subject": "owner"}`` for a table with that heading.
        settings: of ``sldd.DataSettings``; for images in memory ``film_size`` and ``cache``. ``split`` is given to
            ``sldd.distill``, which divides the patients.

    Raises:
        InputError: something cannot be used; the message says what, where, and what to do.
    """
    if isinstance(classes, Mapping | ClassesSettings):  # the settings group, which has the same name
        settings, classes = settings | {"classes": classes}, ()
    data = _settings(settings)
    if "split" in settings:
        raise InputError("data.split: patients are not divided here; give split to sldd.distill, which does that")
    cache = Path(data.cache).expanduser() if data.cache else default_cache()
    if isinstance(films, str | Path) or films is None or _is_table(films):
        beside = {"labels": labels, "masks": masks, "subjects": subjects, "splits": splits}
        beside["classes"] = classes if len(classes) else None
        for name, value in beside.items():
            if value is not None:
                raise InputError(f"{name}: goes with images in memory; a folder or a table says so itself")
        return prepare(_source_of_files(films, data, list(settings)), cache)
    for name in settings:
        if name not in _FOR_IMAGES:
            raise InputError(f"data.{name}: is for files, and images in memory are taken as they are; leave it out")
    if masks is not None:
        _check_masked(settings, classes)
    return prepare(_source_in_memory(films, labels, classes, masks, subjects, splits, data.film_size), cache)


def _source_in_memory(
    films: Any, labels: Any, classes: Sequence[str], masks: Any, subjects: Any, splits: Any, film_size: int
) -> ArraySource:
    """Source of images in memory with ``labels``, or of a ``Dataset``, whose items have their label."""
    if isinstance(films, torch.utils.data.IterableDataset) or not hasattr(films, "__len__"):
        raise InputError("films: a data set without a length; give one whose items can be asked for by number")
    if isinstance(films, torch.utils.data.Dataset):
        if labels is not None:
            raise InputError("labels: a Dataset gives (image, label) itself; leave them out")
        classes = classes or getattr(films, "classes", ())
    elif labels is None:
        raise InputError("labels: not given; give one for each image")
    return ArraySource(
        films.__getitem__ if labels is not None else partial(_item, films),
        len(films),
        _plain(labels),
        classes=[str(name) for name in classes],
        masks=masks,
        subjects=_plain(subjects),
        splits=_plain(splits),
        film_size=film_size,
    )


def _check_masked(settings: Iterable[str], classes: Sequence[str]) -> None:
    """Raise an InputError where images with masks are given what only those that are told whole have."""
    if "film_size" in settings:
        raise InputError("data.film_size: images with masks are cut into patches as they are; leave it out")
    if len(classes):
        raise InputError("classes: with masks, patients are told negative (0) from positive (1); leave it out")


def _item(dataset: Any, number: int) -> tuple[Any, Any]:
    """(image, label) of a ``Dataset``; a label that is an array or a tensor as plain numbers."""
    item = dataset[number]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise InputError(f"item {number + 1} of the Dataset is a {type(item).__name__}, not (image, label)")
    label = item[1]
    return item[0], label.tolist() if torch.is_tensor(label) or isinstance(label, np.ndarray) else label


def _plain(values: Any) -> Any:
    """A pandas column as an array; anything else as it is."""
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def _is_table(films: Any) -> bool:
    """Whether these are a pandas table, by its methods: pandas itself is never imported here."""
    return hasattr(films, "columns") and hasattr(films, "itertuples")


def _settings(given: dict[str, Any]) -> DataSettings:
    """The settings from keyword arguments, with every name and value checked."""
    _check_known("data", given, DataSettings())
    given = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    for name, group in vars(DataSettings()).items():
        if is_dataclass(group) and isinstance(given.get(name), Mapping):
            _check_known(f"data.{name}", given[name], group)
            given[name] = dict(given[name])  # pydantic takes no other mapping
    try:
        return TypeAdapter(DataSettings).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"][0].lower() + first["msg"][1:]
        raise InputError(f"data.{place}: {message} (got {first['input']!r})") from None


def _check_known(place: str, given: Iterable[str], group: Any) -> None:
    """Raise an InputError where a name is none of a settings group's; pydantic would drop it."""
    known = [field.name for field in fields(group)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {place}.{near[0]}?" if near else f"there are: {', '.join(known)}"
            raise InputError(f"unknown setting {place}.{name}; {hint}")


def _source_of_files(films: Any, data: DataSettings, given: Sequence[str]) -> Source:
    """Source of films that are files, by a table in memory, by the settings alone (None), or in a folder.

    Args:
        given: names of the settings that were given; the others have their defaults.
    """
    if _is_table(films):
        _check_paths(films)
        everybody = _source_of_table(_cells(films), data, given)
        return everybody if data.part is None else PartOfPatients(everybody, data.part)
    named = "source" in given
    if films is None:
        if not named:
            raise InputError("films: not given; give a folder, images, a Dataset or a table, or source='phantom'")
        return _source_by_name(data, given)
    root = Path(films).expanduser()
    data = replace(data, root=str(root))
    if not named:
        if not root.exists():
            raise InputError(f"data.root: there is no {root}; name the folder that holds the files and their table")
        data = replace(data, source=find_source(root))
    return _source_by_name(data, given)


def _source_by_name(data: DataSettings, given: Sequence[str]) -> Source:
    """The source that ``data.source`` names; settings that it does not have are refused."""
    if "film_size" in given and data.source not in TOLD_WHOLE:
        raise InputError(f"data.film_size: films of {data.source} are cut into patches as they are; leave it out")
    if "classes" in given and data.source != "classes":
        raise InputError(f"data.classes: is not read of {data.source}; leave it out, or give source='classes'")
    if data.source == "phantom" and data.root is not None:
        raise InputError("data.root: phantoms are drawn and not read; leave it out, or name another source")
    return open_source(data)


def _source_of_table(table: Table, data: DataSettings, given: Sequence[str]) -> Source:
    """Source of a table in memory: of images with a class where it has that column, else of patients with a label."""
    root, channels = Path(data.root or ".").expanduser(), CHANNELS[data.channels]
    patients = find_column(table[0], _TABLE, data.classes.column) is None
    known = _FOR_PATIENT_TABLES if patients else _FOR_CLASS_TABLES
    for name in given:
        if name not in known:
            kind = "patients with a label and masks" if patients else "images with a class"
            raise InputError(f"data.{name}: a table of {kind}, which its columns make this one, has none; leave it out")
    if patients:
        return FolderSource(root, channels, table)
    return read_classes(root, data.classes, data.film_size, channels, data.slice, table)


def _cells(table: Any) -> Table:
    """Header and rows of a pandas table, as a file of it would have them; rows count from 1."""
    header = [str(name).strip() for name in table.columns]
    rows = [
        (line, ["" if _missing(value) else str(value).strip() for value in row])
        for line, row in enumerate(table.itertuples(index=False, name=None), 1)
    ]
    if not rows:
        raise InputError(f"{_TABLE}: no rows")
    return header, rows


def _check_paths(table: Any) -> None:
    """Raise an InputError where a table has the images themselves, and not their files."""
    header = list(map(str, table.columns))
    for heading in ("image", "mask"):
        place = find_column(header, _TABLE, heading)
        for line, value in enumerate(() if place is None else table.iloc[:, place], 1):
            if not _is_single(value):
                raise InputError(
                    f"{_TABLE} line {line}: {heading} is a {type(value).__name__}, and a table names files; give "
                    "images in memory as films=..., labels=..."
                )


def _is_single(value: Any) -> bool:
    """Whether a cell holds one value, and no array or list."""
    try:
        return isinstance(value, str) or np.ndim(value) == 0
    except ValueError:  # lists of several lengths
        return False


def _missing(value: Any) -> bool:
    """Whether a cell is None, NaN or NaT, which differ from themselves, or pandas' NA.

    NA is known by its text: a comparison with it is neither true nor false.
    """
    return _is_single(value) and (value is None or str(value) == "<NA>" or bool(value != value))
