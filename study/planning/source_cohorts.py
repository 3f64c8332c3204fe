"""Source collections (``sources``) on which networks are trained before the study's own patients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import DataSettings, notes_of, open_source
from sldd.errors import InputError
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.grid.protocol import make_split
from study.trial.context import CollectionContext


@dataclass(frozen=True)
class Collection:
    """One that is there: its settings, its decoded films on the driver's machine, and who its patients are."""

    data: DataSettings
    cohort: Cohort
    patient_ids: Sequence[str]
    notes: Sequence[str] = ()
    """What the table has that is odd and was taken as it is."""


def open_collections(
    config: StudyConfig, names: Iterable[str], cache: Path
) -> tuple[dict[str, Collection], dict[str, str]]:
    """Open the collections; for each that is missing, say why. A study goes on without, its cells refused.

    Args:
        names: that chains name.
        cache: folder for decoded films.

    Raises:
        InputError: one is there and cannot be read, has no findings, or is in colour where the study's films are not.
    """
    found, missing = {}, {}
    for name in names:
        data = config.sources[name]
        if data.source != "phantom" and (data.root is None or not Path(data.root).exists()):
            where = "no folder is named" if data.root is None else f"there is no {data.root}"
            missing[name] = f"sources.{name}.root: {where}"
            continue
        if data.channels != config.data.channels:
            raise InputError(
                f"sources.{name}.channels: is {data.channels}, and data.channels is {config.data.channels}; networks "
                "go on from one to the other, so set both to one of them"
            )
        try:
            source = open_source(data)
            cohort = prepare(source, cache)
        except InputError as error:
            raise InputError(f"sources.{name}: {error}") from None
        mismatch = TASKS[config.task].mismatch(cohort)
        if mismatch is not None:
            raise InputError(f"sources.{name}: its films {mismatch}")
        found[name] = Collection(data, cohort, source.patient_ids, notes_of(source))
    return found, missing


def contexts(
    collections: Mapping[str, Collection], pseudonyms: Callable[[Sequence[str]], list[str]]
) -> dict[str, CollectionContext]:
    """Contexts of the collections for trials.

    Args:
        pseudonyms: of patients, as the ledger gives them.
    """
    return {
        name: CollectionContext(each.data, each.cohort.folder, each.cohort.fingerprint, pseudonyms(each.patient_ids))
        for name, each in collections.items()
    }


def collection_data_by_stage(
    config: StudyConfig, cells: Iterable[Cell], collections: Mapping[str, Collection]
) -> dict[str | None, TaskData]:
    """Training data of source cells by stage, where all of its collections are there."""
    task, parts = TASKS[config.task], {}
    for name, each in collections.items():
        split = make_split(each.cohort, each.data.split, "validation", None, None)
        parts[name] = task.data(each.cohort, config.patches, split)
    stages = {cell.stage: cell.stage.split("+") for cell in cells if cell.stage}
    return {
        stage: task.joined([parts[name] for name in names])
        for stage, names in stages.items()
        if all(name in parts for name in names)
    }
