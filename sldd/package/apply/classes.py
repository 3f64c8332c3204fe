"""Classify a receiver's films by a package whose classes exclude each other: a row a film, with all probabilities."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sldd.data.cohort import one_film
from sldd.data.whole_films import WholeFilms
from sldd.errors import InputError
from sldd.metrics.classes import ClassScores
from sldd.package.apply.films import FilmFile, at_depth, look_through, read_film
from sldd.package.format.header import Header
from sldd.sources.classes import ClassesSettings, listed, lists_classes
from sldd.sources.folder import MANIFEST


@dataclass(frozen=True)
class ClassFilm:
    """A film, whose it is, and the number of its class where that is known."""

    film: FilmFile
    subject: str
    truth: int | None


@dataclass(frozen=True)
class Told:
    """``probabilities`` (films, classes) of ``films``, those that could be read; what could not, in words."""

    classes: tuple[str, ...]
    films: list[ClassFilm]
    probabilities: np.ndarray
    unread: list[str]

    @property
    def subjects(self) -> list[str]:
        """Whose films they are, each once."""
        return list(dict.fromkeys(film.subject for film in self.films))


def films_of_classes(where: Path, classes: Sequence[str]) -> list[ClassFilm]:
    """The films of a table with ``image``, ``class`` and perhaps ``subject``, or those of ``look_through``.

    Raises:
        InputError: as of these, or a class of the table is none of the package's.
    """
    table = where / MANIFEST if where.is_dir() else where
    if not (table.is_file() and table.suffix.lower() == ".csv" and lists_classes(table)):
        patients = look_through(where).patients
        return [ClassFilm(film, patient.name, None) for patient in patients for film in patient.films]
    found = []
    for image in listed(table, ClassesSettings()):
        if image.name not in classes:
            raise InputError(f"{image.where}: class {image.name} is none of the package's ({', '.join(classes)})")
        film = FilmFile(image.file, image.where)
        found.append(ClassFilm(film, image.subject or str(image.file), classes.index(image.name)))
    return found


@torch.no_grad()
def tell(
    network: nn.Module,
    header: Header,
    films: Sequence[ClassFilm],
    *,
    batch: int,
    device: torch.device,
    done: Callable[[], object] = lambda: None,
) -> Told:
    """Probabilities of each film's classes; films that cannot be read are left out, as long as another one can.

    Args:
        network, header, batch, device, done: as of ``sldd.package.apply.scoring.score``.

    Raises:
        InputError: no film can be read.
    """
    network, read, unread = network.to(device), [], []
    found, waiting = [], []
    for film in films:
        try:
            waiting.append(_seen(film.film, header))
            read.append(film)
        except InputError as error:
            unread.append(str(error))
        done()
        if len(waiting) == batch:
            found.append(network(torch.cat(waiting).to(device)).double().softmax(1).cpu().numpy())
            waiting = []
    if waiting:
        found.append(network(torch.cat(waiting).to(device)).double().softmax(1).cpu().numpy())
    if not read:
        more = f" (and {len(unread) - 1:,} more)" if len(unread) > 1 else ""
        raise InputError(unread[0] + more)
    return Told(header.classes, read, np.concatenate(found), unread)


def classes_csv(told: Told, names: Sequence[str]) -> bytes:
    """The table, in the order of pseudonyms.

    Args:
        names: pseudonyms of ``told.subjects``.
    """
    name = dict(zip(told.subjects, names, strict=True))
    rows = [
        [
            name[film.subject],
            told.classes[int(each.argmax())],
            *(f"{probability:.6f}" for probability in each),
            "" if film.truth is None else told.classes[film.truth],
        ]
        for film, each in zip(told.films, told.probabilities, strict=True)
    ]
    text = io.StringIO()
    heading = ["subject", "told", *(f"probability {each}" for each in told.classes), "class"]
    csv.writer(text, lineterminator="\n").writerows([heading, *sorted(rows, key=lambda row: row[0])])
    return text.getvalue().encode()


def in_words(told: Told, header: Header) -> Iterator[str]:
    """How many films are told as what, and the scores where classes are known, beside those that are claimed."""
    counts = np.bincount(told.probabilities.argmax(1), minlength=len(told.classes))
    each = ", ".join(f"{count:,} {name}" for name, count in zip(told.classes, counts.tolist(), strict=True))
    yield f"{len(told.films):,} images: {each}"
    rows = [row for row, film in enumerate(told.films) if film.truth is not None]
    if not rows:
        return
    truth = np.array([film.truth for film in told.films if film.truth is not None], np.int64)
    history = ClassScores(told.classes, rows, truth, told.probabilities[rows]).history()
    yield f"here: balanced accuracy {_number(history['val_balanced_accuracy'])}, AUC {_number(history['val_auc'])}"
    if header.claims is not None and (test := header.claims.test) is not None:
        yield f"claimed, test: balanced accuracy {_number(test.sensitivity)}, AUC {_number(test.auc)}"


def _seen(film: FilmFile, header: Header) -> torch.Tensor:
    """(1, channels, side, side): the film as the network sees it."""
    pixels = at_depth(read_film(film, header.channels, header.slice), header.depth)
    if pixels is None:
        raise InputError(f"{film.where}: 16 bit, and the package was made for images of {header.depth} bit")
    return WholeFilms(one_film(pixels), header.patches.input_size, header.mean, header.deviation).image(0)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
