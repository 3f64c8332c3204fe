"""Source of films in memory: arrays, or the items of a torch ``Dataset``, with labels, findings or classes.

What a film may be: (height, width), (channels, height, width) or (height, width, channels) uint8 or uint16, floats from
0 to 1, which are taken for 255 steps of gray (as torchvision's ``ToTensor`` gives them), or a Pillow image.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from sldd.errors import InputError
from sldd.io.cells import is_missing
from sldd.io.film import SPLITS, Film
from sldd.io.patient_ids import patient_id
from sldd.sources.labelled_films import scale

_MODES = ("L", "I;16", "RGB")


class ArraySource:
    """Films in memory.

    Args:
        read: pixels of a film by its number, in any of the forms above, or (pixels, label) where there are no
            ``labels``; the same every time it is asked.
        count: films.
        labels: (films,) classes, by number or name; (films, classes) findings: 0, 1 or NaN; where there are masks
            (films,) 0 or 1, the label of each film's patient.
        classes: names of the classes, or of the findings.
        masks: (films,) organ masks, (height, width) bool; None where films are told whole.
        subjects: (films,) identifiers of whom films are of; each is its own unless given.
        splits: (films,) ``train``, ``validation`` or ``test``; drawn by chance unless given.
        film_size: films that are told whole are kept at no more pixels a side.

    Raises:
        InputError: labels, masks, subjects or splits are not one for each film, or not as above, or one is missing;
            or names of classes are none.
    """

    smallest_class = None

    def __init__(
        self,
        read: Callable[[int], Any],
        count: int,
        labels: Any = None,
        *,
        classes: Sequence[str] = (),
        masks: Any = None,
        subjects: Any = None,
        splits: Any = None,
        film_size: int,
    ) -> None:
        self._read, self._masks, self._labelled = read, masks, labels is not None
        self.film_size = film_size if masks is None else None
        for name, given in (("labels", labels), ("masks", masks), ("subjects", subjects), ("splits", splits)):
            if given is not None and (there := _length(name, given)) != count:
                raise InputError(f"{name}: {there:,}, and there are {count:,} images; give one for each")
        if count == 0:
            raise InputError("there are no images")
        self._digests: list[str] = []
        if not self._labelled:
            labels = [self._remember(number) for number in range(count)]
        self.patients_known = subjects is not None
        names = [f"image-{number:07d}" for number in range(count)] if subjects is None else _subjects(subjects)
        self.patient_ids = sorted(set(names))
        patient = {name: number for number, name in enumerate(self.patient_ids)}
        parts = [None] * count if splits is None else [_split(part, row) for row, part in enumerate(splits)]
        table = _rectangular(labels)
        self.classes: list[str] = []
        if masks is None:
            self.classes, findings = _findings(table, classes)
            _check_names(self.classes)
            positive = [int(1.0 in row) for row in findings]
        else:
            findings, positive = [()] * count, _binary(table)
        self.films = [
            Film(patient[name], label, part, f"image {row + 1}", finding)
            for row, (name, label, part, finding) in enumerate(zip(names, positive, parts, findings, strict=True))
        ]
        _check_patients(self.films, one_label=masks is not None)
        if self._labelled:  # what the labels say is wrong is said before all films are read
            for number in range(count):
                self._remember(number)

    def fingerprint(self) -> str:
        """SHA-256 over pixels, masks, labels, splits, and which films share a subject."""
        rows = [
            [film.patient, film.label, film.split, [str(value) for value in film.findings], digest]
            for film, digest in zip(self.films, self._digests, strict=True)
        ]
        return hashlib.sha256(json.dumps(["arrays", self.classes, rows]).encode()).hexdigest()

    def read(self, film: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels and mask of a film.

        Raises:
            InputError: it is another one than before.
        """
        found, _ = self._film(film)
        if _digest(*found) != self._digests[film]:
            raise InputError("it is another one each time it is read; leave out random transforms")
        return found

    def _remember(self, number: int) -> Any:
        """Keep a film's digest; returns the label that comes with it: asked for again, a data set would decode anew."""
        film, label = self._film(number)
        self._digests.append(_digest(*film))
        return label

    def _film(self, number: int) -> tuple[tuple[np.ndarray, np.ndarray | None], Any]:
        """Pixels and mask, and the label where it comes with them."""
        image, label = (self._read(number), None) if self._labelled else self._read(number)
        pixels = to_pixels(image, f"image {number + 1}")
        if self.film_size is not None:
            return (scale(pixels, self.film_size), None), label
        try:
            mask = _array(self._masks[number])
        except ValueError:  # NumPy makes no array of rows of several lengths
            raise InputError(f"image {number + 1}: its mask has rows of several lengths") from None
        if mask.dtype != bool and set(np.unique(mask).tolist()) <= {0, 1}:
            mask = mask.astype(bool)
        if mask.dtype != bool or mask.shape != pixels.shape[:2]:
            raise InputError(
                f"image {number + 1}: its mask is {_words(mask)}, and of {_words(pixels)} it is to be "
                f"{pixels.shape[0]} x {pixels.shape[1]} of bool"
            )
        return (pixels, mask), label


def _check_patients(films: Sequence[Film], *, one_label: bool) -> None:
    """Raise an InputError where a patient's films are of several splits, or of several labels where it is to be one."""
    first: dict[int, Film] = {}
    for film in films:
        earlier = first.setdefault(film.patient, film)
        if earlier.split != film.split:
            raise InputError(f"{film.where}: the subject of {earlier.where} is in another split; give both one")
        if one_label and earlier.label != film.label:
            raise InputError(f"{film.where}: the patient of {earlier.where} has another label there; correct one")


def _digest(pixels: np.ndarray, mask: np.ndarray | None) -> str:
    digest = hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes())
    digest.update(b"" if mask is None else np.packbits(mask).tobytes())
    return digest.hexdigest()


def to_pixels(image: Any, where: str) -> np.ndarray:
    """(height, width) uint8 or uint16, or (height, width, 3) uint8, of an image in any form that is read.

    Args:
        where: what messages call it.

    Raises:
        InputError: it has another shape or type, or values that are no gray ones.
    """
    if isinstance(image, Image.Image) and image.mode not in _MODES:
        raise InputError(f"{where}: a Pillow image of mode {image.mode}; convert it to L (gray) or RGB")
    values = _array(image)
    if values.ndim == 3 and values.shape[0] in (1, 3) and (torch.is_tensor(image) or values.shape[2] not in (1, 3)):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or values.shape[2:] not in ((), (3,)) or 0 in values.shape:
        raise InputError(f"{where}: {_words(values)}; an image is height x width, with 1 or 3 channels")
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise InputError(
                f"{where}: floats from {low:g} to {high:g}; give integers of 8 or 16 bit, or floats from 0 to 1 "
                "(leave out standardisation, which is done by the training patients' values)"
            )
        return np.rint(255 * values).astype(np.uint8)
    if values.dtype not in (np.uint8, np.uint16) or (values.ndim == 3 and values.dtype != np.uint8):
        raise InputError(f"{where}: {_words(values)}; give uint8 or uint16 (in colour uint8), or floats from 0 to 1")
    return values


def _array(values: Any) -> np.ndarray:
    if torch.is_tensor(values):
        return np.asarray(values.detach().cpu().numpy())
    return np.asarray(values)


def _is_name(label: object, row: int) -> bool:
    if not isinstance(label, (str, int, np.integer)):
        raise InputError(f"image {row}: its label is a {type(label).__name__}; give a whole number or a name")
    return isinstance(label, str)


def _length(name: str, given: Any) -> int:
    try:
        return len(given)
    except TypeError:  # a single value, also in an array, or a generator
        kind = type(given).__name__
        raise InputError(f"{name}: {kind} without a length; give a list or an array, with one for each image") from None


def _rectangular(labels: Any) -> np.ndarray:
    try:
        return _array(labels)
    except ValueError:  # NumPy makes no array of rows of several lengths
        raise InputError("labels: not as many for each image; give each a class, or 0 and 1 for each finding") from None


def _words(values: np.ndarray) -> str:
    return f"{' x '.join(map(str, values.shape)) or 'a single value'} of {values.dtype}"


def _subjects(given: Any) -> list[str]:
    """Identifiers, checked as a table's are: None, NaN or NA would make one patient of all whose patient is unknown."""
    values = given.tolist() if torch.is_tensor(given) else given
    names = [str(value).strip() for value in values]
    if "" in names:
        raise InputError(f"image {names.index('') + 1}: subject is empty; fill it or leave the image out")
    return [patient_id(name, f"image {row}") for row, name in enumerate(names, 1)]


def _split(part: Any, row: int) -> str:
    if str(part) not in SPLITS:
        raise InputError(f"image {row + 1}: the split is not one of {', '.join(SPLITS)}; write one of them")
    return str(part)


def _binary(labels: np.ndarray) -> list[int]:
    if labels.ndim != 1 or not set(np.unique(labels).tolist()) <= {0, 1}:
        raise InputError("labels: with masks, patients are told positive from negative: give 0 or 1 for each image")
    return [int(label) for label in labels]


def _check_names(names: Sequence[str]) -> None:
    if "" in (stripped := [name.strip() for name in names]):
        raise InputError(f"classes: name {stripped.index('') + 1} is empty; give each a word")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(f"classes: {name} is named twice; give each a name of its own")


def _findings(labels: np.ndarray, names: Sequence[str]) -> tuple[list[str], list[tuple[float, ...]]]:
    """Names of the findings or classes, and for each film a value of each; of classes 1 for its own and 0 for others.

    Args:
        labels: (films, findings), or (films,) classes by number or name.
        names: as given; without any, findings are numbered and classes named by their labels.
    """
    known, table = _finding_table(labels, names) if labels.ndim == 2 else _class_table(labels, names)
    return known, [tuple(row) for row in table.tolist()]


def _finding_table(labels: np.ndarray, names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names of the findings, and (films, findings) float64 0, 1 or NaN."""
    if not labels.shape[1]:
        raise InputError("labels: findings without a column; give a column for each finding")
    known = list(names) or [f"finding {number + 1}" for number in range(labels.shape[1])]
    try:
        table = labels.astype(np.float64)
    except (TypeError, ValueError):  # names among them
        table = np.full(labels.shape, np.inf)
    if not (np.isnan(table) | (table == 0) | (table == 1)).all():
        raise InputError("labels: findings are 0, 1, or NaN where they are not known; another value is among them")
    if len(known) != labels.shape[1]:
        raise InputError(f"classes: {len(known)} names, and labels have {labels.shape[1]} columns")
    return known, table


def _class_table(labels: np.ndarray, names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names of the classes, and (films, classes) float64 1 for a film's own class, else 0."""
    if labels.ndim != 1 or labels.dtype.kind not in "iubUO":
        raise InputError(
            f"labels: {_words(labels)}; give a class for each image, as a whole number or a name, or 0 and 1 for each "
            "of several findings (images x findings)"
        )
    if names and labels.dtype.kind in "iub":
        numbers = labels.astype(np.int64)
        if numbers.min() < 0 or numbers.max() >= len(names):
            raise InputError(f"classes: {len(names)} names, and labels go from {numbers.min()} to {numbers.max()}")
        known = list(names)
    else:
        for row, label in enumerate(labels.tolist(), 1):
            if is_missing(str(label)) and str(label) not in names:
                raise InputError(f"image {row}: its label is a missing value; give it one or leave the image out")
        if len({_is_name(label, row) for row, label in enumerate(labels.tolist(), 1)}) > 1:
            raise InputError("labels: names and numbers among them; give all as names or all as numbers")
        known = list(names) or list(map(str, np.unique(labels)))
        place = {name: number for number, name in enumerate(known)}
        unknown = [str(label) for label in labels if str(label) not in place]
        if unknown:
            raise InputError(f"labels: {unknown[0]} is none of classes ({', '.join(known)})")
        numbers = np.array([place[str(label)] for label in labels])
    if len(known) < 2:
        raise InputError(f"labels: all images are of class {known[0]}; a class is told from at least one other")
    return known, np.eye(len(known))[numbers]
