"""What a package for whole films tells of a receiver's films: the probabilities of each one's classes or findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sldd.data.cohort import one_film
from sldd.data.whole_films import WholeFilms
from sldd.errors import InputError
from sldd.io.dicom.reader import NoImageError
from sldd.io.film import Radiograph
from sldd.io.safe_path import linked_outside
from sldd.metrics.classes import ClassScores
from sldd.ops.layout import to_channels_last
from sldd.ops.pixels import at_once
from sldd.package.apply.films import FilmFile, at_depth, look_through, read_film
from sldd.package.apply.remarks import FilmLook, Remarks
from sldd.package.apply.score_table import LEFT_OUT, as_csv
from sldd.package.format.header import Header
from sldd.sources.classes import ClassesSettings, listed, lists_classes
from sldd.sources.film_files import left_out_words
from sldd.sources.folder import MANIFEST
from sldd.sources.labelled_films import scaled


@dataclass(frozen=True)
class ClassFilm:
    """A film, whose it is, and the number of its class where that is known."""

    film: FilmFile
    subject: str
    truth: int | None


@dataclass(frozen=True)
class ClassFilms:
    """A receiver's films, and how many files of the folder are none."""

    films: list[ClassFilm]
    left_out: dict[str, int]


@dataclass(frozen=True)
class Told:
    """What the network tells of a receiver's films.

    Attributes:
        films: those that could be read.
        probabilities: (films, classes) float64.
        unread: films that could not be read, each with the reason.
        odd: what looks wrong with films that were read, in words.
        looks: sizes and values of the films that were read; ``FilmLook.patient`` is a place in ``subjects``.
        left_out: files that are no films, in words; empty where there are none.
    """

    classes: tuple[str, ...]
    films: list[ClassFilm]
    probabilities: np.ndarray
    unread: list[tuple[ClassFilm, str]]
    odd: list[str]
    looks: list[FilmLook]
    left_out: str

    @property
    def subjects(self) -> list[str]:
        """Whose films they are, each once; those with no film that could be read come last."""
        every = [*self.films, *(film for film, _ in self.unread)]
        return list(dict.fromkeys(film.subject for film in every))

    @property
    def largest(self) -> np.ndarray:
        """(subjects,) mean over a subject's films of the largest probability; of subjects with a film that was read."""
        rows = [look.patient for look in self.looks]
        sums: np.ndarray = np.bincount(rows, self.probabilities.max(1))
        return sums / np.bincount(rows)

    def scores(self) -> ClassScores | None:
        """Of the films whose class is known; None where there are none."""
        known = [row for row, film in enumerate(self.films) if film.truth is not None]
        truth = np.array([film.truth for film in self.films if film.truth is not None], np.int64)
        whose = [self.looks[row].patient for row in known]
        return ClassScores(self.classes, whose, truth, self.probabilities[known]) if known else None


def films_of_classes(where: Path, classes: Sequence[str]) -> ClassFilms:
    """The films of a table with ``image``, ``class`` and perhaps ``subject``, or those of ``look_through``.

    Raises:
        InputError: as of these, a class of the table is none of the package's, or a link leads out of its folder.
    """
    table = where / MANIFEST if where.is_dir() else where
    if not (table.is_file() and table.suffix.lower() == ".csv" and lists_classes(table)):
        return films_alone(where, classes)
    found = []
    for image in listed(table, ClassesSettings()):
        if image.name not in classes:
            raise InputError(f"{image.where}: class {image.name} is none of the package's ({', '.join(classes)})")
        if linked_outside(table.parent, image.file):
            raise InputError(f"{image.where}: a symbolic link leads out of the table's folder; copy the image there")
        film = FilmFile(image.file, image.where, listed=True)
        found.append(ClassFilm(film, image.subject or str(image.file), classes.index(image.name)))
    return ClassFilms(found, {})


def films_alone(where: Path, classes: Sequence[str] = ()) -> ClassFilms:
    """The films of ``look_through``, of classes that are not known."""
    found = look_through(where, classes)
    films = [ClassFilm(film, patient.name, None) for patient in found.patients for film in patient.films]
    return ClassFilms(films, found.left_out)


@torch.no_grad()
def tell(
    network: nn.Module,
    header: Header,
    received: ClassFilms,
    *,
    batch: int,
    device: torch.device,
    done: Callable[[], object] = lambda: None,
) -> Told:
    """Probabilities of each film's classes, or of its findings where these do not exclude each other.

    Films that cannot be read are left out, as long as another one can; files of a folder that are DICOM and no images,
    such as reports, are counted.

    Args:
        network, header, batch, device, done: as of ``sldd.package.apply.scoring.score``.

    Raises:
        InputError: no film can be read.
    """
    network = to_channels_last(network.to(device))
    probabilities = partial(torch.softmax, dim=1) if header.exclusive else torch.sigmoid
    batch = at_once(batch, header.channels, header.patches.input_size)
    found: list[np.ndarray] = []
    waiting: list[torch.Tensor] = []

    def tell_waiting() -> None:
        found.append(probabilities(network(torch.cat(waiting).to(device)).double()).cpu().numpy())
        waiting.clear()

    read, unread = list[ClassFilm](), list[tuple[ClassFilm, str]]()
    remarks, reports = Remarks(header), 0
    subjects: dict[str, int] = {}
    for film in received.films:
        try:
            radiograph, pixels = _read(film.film, header)
            shown = WholeFilms(one_film(pixels), header.patches.input_size, header.mean, header.deviation)
            waiting.append(shown.image(0))
            remarks.add(subjects.setdefault(film.subject, len(subjects)), film.film, radiograph, pixels)
            read.append(film)
        except InputError as error:
            if isinstance(error, NoImageError) and not film.film.listed:
                reports += 1
            else:
                unread.append((film, str(error)))
        done()
        if len(waiting) == batch:
            tell_waiting()
    if waiting:
        tell_waiting()
    left_out = left_out_words(received.left_out | {"DICOM files without an image": reports})
    if not read:
        more = f" (and {len(unread) - 1:,} more)" if len(unread) > 1 else ""
        raise InputError(unread[0][1] + more if unread else f"there is no image, only {left_out}")
    odd = [words for words, _ in remarks.found()]
    return Told(header.classes, read, np.concatenate(found), unread, odd, remarks.looks, left_out)


def classes_csv(told: Told, names: Sequence[str]) -> bytes:
    """The table: a row a film, in the order of pseudonyms.

    Args:
        names: pseudonyms of ``told.subjects``.
    """
    pseudonym = dict(zip(told.subjects, names, strict=True))
    empty = [""] * (1 + len(told.classes))

    def row(film: ClassFilm, cells: list[str], note: str = "") -> list[str]:
        return [pseudonym[film.subject], *cells, "" if film.truth is None else told.classes[film.truth], note]

    rows = []
    for film, each in zip(told.films, told.probabilities, strict=True):
        rows.append(row(film, [told.classes[int(each.argmax())], *(f"{probability:.6f}" for probability in each)]))
    rows += [row(film, empty, "the image could not be read") for film, _ in told.unread]
    last = [[LEFT_OUT, *empty, "", told.left_out]] if told.left_out else []
    heading = ["subject", "told", *(f"probability {each}" for each in told.classes), "class", "note"]
    return as_csv([heading, *sorted(rows, key=lambda cells: cells[0]), *last])


def file_words(told: Told) -> Iterator[str]:
    """Lines on what was left out, what could not be read, and what is odd."""
    if told.left_out:
        yield f"left out, as no images: {told.left_out}"
    if told.unread:
        yield f"NOT READ: {len(told.unread):,} of {len(told.unread) + len(told.films):,} images"
        yield from (f"  {words}" for _, words in told.unread)
    yield from (f"odd: {words}" for words in told.odd)


def in_words(told: Told, header: Header) -> Iterator[str]:
    """How many films are told as what, and the scores where classes are known, beside those that are claimed."""
    counts = np.bincount(told.probabilities.argmax(1), minlength=len(told.classes))
    each = ", ".join(f"{count:,} {name}" for name, count in zip(told.classes, counts.tolist(), strict=True))
    yield f"{len(told.films):,} images: {each}"
    scores = told.scores()
    if scores is None:
        return
    history = scores.history()
    yield f"here: balanced accuracy {_number(history['val_balanced_accuracy'])}, AUC {_number(history['val_auc'])}"
    if header.claims is not None and (test := header.claims.test) is not None:
        yield f"claimed, test: balanced accuracy {_number(test.sensitivity)}, AUC {_number(test.auc)}"


def _read(film: FilmFile, header: Header) -> tuple[Radiograph, np.ndarray]:
    """The film as its maker kept it, and its pixels at the package's depth."""
    radiograph = read_film(film, header.channels, header.slice)
    if header.film_size is not None:
        radiograph = scaled(radiograph, header.film_size)
    pixels = at_depth(radiograph, header.depth)
    if pixels is None:
        raise InputError(f"{film.where}: 16 bit, and the package was made for images of {header.depth} bit")
    return radiograph, pixels


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
