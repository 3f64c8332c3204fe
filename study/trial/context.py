"""Context that a study's trials share: settings, and on each node the cohort, opened once and memory-mapped."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ledger.storage import Folder
from sldd.data.cohort import Cohort, open_decoded
from sldd.data.patches import PatchSettings
from sldd.data.settings import DataSettings
from sldd.data.split import SplitSettings
from sldd.errors import InputError
from study.cluster.broadcast import Shared, fetch_cohort, fetch_file, is_same
from study.config.paths import cache_folder
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.config.tasks.base import TaskData
from study.grid.protocol import Protocol, make_split


@dataclass(frozen=True)
class CollectionContext:
    """A collection beside the study's own patients; its folder is the driver's."""

    data: DataSettings
    folder: Path
    fingerprint: str
    pseudonyms: list[str]


@dataclass(frozen=True)
class TrialContext:
    """Settings and data that all trials of a study share."""

    config: StudyConfig
    cohort_folder: Path
    fingerprint: str
    pseudonyms: list[str]
    stop_path: Folder
    shared: Shared | None = None
    """For machines other than the driver's."""
    collections: dict[str, CollectionContext] = field(default_factory=dict)
    """Those that chains of cells name."""


def trial_data(context: TrialContext, fold: int | None, stage: str | None = None) -> TaskData:
    """Data of a cell: the study's patients, or the collections of its stage (see ``Cell``).

    Raises:
        InputError: a cohort on this node is not the study's, or cannot be brought here.
    """
    config = context.config
    task, patches = config.task, config.patches
    if stage is None:
        own = _here(context, context.cohort_folder, context.fingerprint)
        return _data(task, own, patches, config.data.split, config.protocol, config.confirm.folds, fold)
    parts = []
    for name in stage.split("+"):
        each = context.collections[name]
        found = _here(context, each.folder, each.fingerprint)
        parts.append(_data(task, found, patches, each.data.split, "validation", None, None))
    return TASKS[task].joined(parts)


def patient_pseudonyms(context: TrialContext, stage: str | None) -> list[str]:
    """Pseudonyms of a cell's patients, by number."""
    if stage is None:
        return context.pseudonyms
    return [name for each in stage.split("+") for name in context.collections[each].pseudonyms]


def weights_file(context: TrialContext, path: str) -> str:
    """Path on this machine of a weight file, from that on the driver's; other values of ``start`` stay. A file that
    lies there already is taken where it has the content of the driver's.

    Raises:
        InputError: it cannot be brought here.
    """
    shared = context.shared.files.get(path) if context.shared else None
    if shared is None or is_same(shared, Path(path)):
        return path
    return str(fetch_file(shared, cache_folder(context.config.data)))


def _here(context: TrialContext, folder: Path, fingerprint: str) -> tuple[Path, str]:
    """A cohort's folder on this machine, fetched from the driver where it is not there, and its fingerprint."""
    if not folder.is_dir() and context.shared is not None:
        folder = fetch_cohort(context.shared.cohorts[fingerprint], cache_folder(context.config.data)).folder
    return folder, fingerprint


@lru_cache(maxsize=4)
def _cohort(folder: Path, fingerprint: str) -> Cohort:
    cohort = open_decoded(folder)
    if cohort.fingerprint != fingerprint:
        raise InputError("data: the cohort on this node differs from the one that the study began with")
    return cohort


@lru_cache(maxsize=2)  # the folds of a cell take turns, two at a time where a machine runs two trials
def _data(
    task: str,
    found: tuple[Path, str],
    settings: PatchSettings,
    division: SplitSettings,
    protocol: Protocol,
    folds: int | None,
    fold: int | None,
) -> TaskData:
    """Kept between the trials of a worker: windows take seconds to find, and scaled films up to a GiB."""
    cohort = _cohort(*found)
    return TASKS[task].data(cohort, settings, make_split(cohort, division, protocol, folds, fold))
