"""What the trials of a study share: its settings, and on each node its cohort, opened once and read in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ledger.storage import Folder
from sldd.data.cohort import Cohort, open_cohort
from sldd.data.concat import JoinedFilms, join_splits
from sldd.data.multilabel_batches import FilmBatches
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.settings import DataSettings
from sldd.data.split import Split
from sldd.data.whole_films import WholeFilms
from sldd.errors import InputError
from study.cluster.broadcast import Shared, fetch_cohort, fetch_file
from study.config.schema import StudyConfig
from study.grid.protocol import Protocol, divide


@dataclass(frozen=True)
class CollectionContext:
    """A collection beside the study's own patients; its folder is the driver's."""

    data: DataSettings
    folder: Path
    fingerprint: str
    pseudonyms: list[str]


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a study share."""

    config: StudyConfig
    cohort_folder: Path
    fingerprint: str
    pseudonyms: list[str]
    stop_path: Folder
    shared: Shared | None = None
    """For machines other than the driver's."""
    collections: dict[str, CollectionContext] = field(default_factory=dict)
    """Those that chains of cells name."""


def materials(context: TrialContext, fold: int | None) -> tuple[Patches, Split, BalancedBatches]:
    """The patches of the cohort, the patients' parts and the training batches, of a fold where folds rotate.

    Raises:
        InputError: the cohort on this node is not the study's, or cannot be brought here.
    """
    config = context.config
    return _materials(_given(context), config.data, config.patches, config.protocol, config.confirm.folds, fold)


def film_materials(
    context: TrialContext, fold: int | None, stage: str | None = None
) -> tuple[WholeFilms, Split, FilmBatches]:
    """The same of a cohort whose films have findings.

    Args:
        stage: the collections that a cell trains on instead, as of ``Cell``.
    """
    config = context.config
    side = config.patches.input_size
    if stage is None:
        return _film_materials(_given(context), config.data, side, config.protocol, config.confirm.folds, fold)
    given = []
    for name in stage.split("+"):
        each = context.collections[name]
        where = _here(context, each.folder, each.fingerprint)
        given.append(_film_materials(where, each.data, side, "validation", None, None))
    return joined(given)


def patient_pseudonyms(context: TrialContext, stage: str | None) -> list[str]:
    """Of the patients that a cell is about, by number."""
    if stage is None:
        return context.pseudonyms
    return [name for each in stage.split("+") for name in context.collections[each].pseudonyms]


def weights_file(context: TrialContext, path: str) -> str:
    """Where a file of weights, named by its path on the driver's machine, lies on this one; other words stay.

    Raises:
        InputError: it cannot be brought here.
    """
    shared = context.shared.files.get(path) if context.shared else None
    return path if shared is None or Path(path).is_file() else str(fetch_file(shared, _cache(context)))


def _given(context: TrialContext) -> tuple[Path, str]:
    """The cohort's folder on this machine, and its fingerprint."""
    return _here(context, context.cohort_folder, context.fingerprint)


def _here(context: TrialContext, folder: Path, fingerprint: str) -> tuple[Path, str]:
    """The same of any cohort, whose folder is the driver's, on its own machine."""
    if not folder.is_dir() and context.shared is not None:
        folder = fetch_cohort(context.shared.cohorts[fingerprint], _cache(context)).folder
    return folder, fingerprint


def _cache(context: TrialContext) -> Path | None:
    cache = context.config.data.cache
    return Path(cache) if cache else None


@lru_cache(maxsize=4)
def _cohort(folder: Path, fingerprint: str) -> Cohort:
    cohort = open_cohort(folder)
    if cohort.fingerprint != fingerprint:
        raise InputError("data: the cohort on this node differs from the one that the study began with")
    return cohort


@lru_cache(maxsize=2)  # the folds of a cell take turns, two at a time where a machine runs two trials
def _materials(
    given: tuple[Path, str],
    data: DataSettings,
    settings: PatchSettings,
    protocol: Protocol,
    folds: int | None,
    fold: int | None,
) -> tuple[Patches, Split, BalancedBatches]:
    """Kept between the trials of a worker: the windows of a large cohort take seconds to find."""
    cohort = _cohort(*given)
    split = divide(cohort, data.split, protocol, folds, fold)
    return patches_of(cohort, settings, split)


@lru_cache(maxsize=2)  # each keeps up to a GiB of scaled films
def _film_materials(
    given: tuple[Path, str], data: DataSettings, side: int, protocol: Protocol, folds: int | None, fold: int | None
) -> tuple[WholeFilms, Split, FilmBatches]:
    """Kept between the trials of a worker, and with them the films that are scaled."""
    cohort = _cohort(*given)
    split = divide(cohort, data.split, protocol, folds, fold)
    return films_of(cohort, side, split)


def patches_of(cohort: Cohort, settings: PatchSettings, split: Split) -> tuple[Patches, Split, BalancedBatches]:
    """What a study of patches looks at, with the patients' parts and the training batches."""
    patches = Patches(cohort, settings, *cohort.intensity(split.train))
    return patches, split, BalancedBatches(patches, split.train)


def films_of(cohort: Cohort, side: int, split: Split) -> tuple[WholeFilms, Split, FilmBatches]:
    """What a study of findings looks at, with the patients' parts and the training batches."""
    films = WholeFilms(cohort, side, *cohort.intensity(split.train))
    return films, split, FilmBatches(films, split.train)


def joined(
    parts: Sequence[tuple[WholeFilms, Split, FilmBatches]],
) -> tuple[WholeFilms, Split, FilmBatches]:
    """What trains on several collections at once looks at; of one, that."""
    if len(parts) == 1:
        return parts[0]
    films = JoinedFilms([seen for seen, _, _ in parts])
    split = join_splits([split for _, split, _ in parts], [seen.cohort.patients for seen, _, _ in parts])
    return films, split, FilmBatches(films, split.train)
