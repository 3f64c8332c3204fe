"""Cohorts of a study: its own patients, and the collections that its networks are trained on first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import notes_of, open_source
from sldd.data.split import Split
from study.config.paths import cache_folder, feature_store
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.grid.chains import chained
from study.planning.source_cohorts import Collection, collection_data_by_stage, open_collections


@dataclass(frozen=True)
class StudyPatients:
    """The decoded films on the driver's machine; patients' identifiers are for pseudonyms only."""

    cohort: Cohort
    patient_ids: Sequence[str]
    collections: dict[str, Collection]
    missing: dict[str, str]
    """Why a collection is not there, by name."""
    notes: Sequence[str] = ()
    """What the table has that is odd and was taken as it is."""

    def data_by_stage(self, config: StudyConfig, grid: list[Cell], split: Split) -> dict[str | None, TaskData]:
        """Data that cells are trained on: the study's own patients (None), and the collections of each stage."""
        own = TASKS[config.task].data(self.cohort, config.patches, split)
        return {None: own, **collection_data_by_stage(config, grid, self.collections)}


def open_patients(config: StudyConfig, grid: list[Cell]) -> StudyPatients:
    """Decode the cohort and the collections that ``grid`` names, or open what an earlier command decoded.

    Raises:
        InputError: a film or a table cannot be read.
    """
    source = open_source(config.data)
    cache = cache_folder(config.data)
    cohort = prepare(source, cache)
    return StudyPatients(cohort, source.patient_ids, *open_collections(config, chained(grid), cache), notes_of(source))


def announce_films(config: StudyConfig, patients: StudyPatients) -> Iterator[str]:
    """Lines of what films with findings show, of what tables left to be decided, and of what films look odd."""
    yield from (f"{config.name}: {note}" for note in patients.notes)
    named = {config.name: patients.cohort}
    named |= {f"{config.name}, {name}": each.cohort for name, each in patients.collections.items()}
    for name, cohort in named.items():
        if cohort.classes:
            found = (cohort.film_labels == 1).sum(0)
            counts = ", ".join(f"{count:,} {finding}" for finding, count in zip(cohort.classes, found, strict=True))
            whose, what = cohort.words
            yield f"{name}: {cohort.patients:,} {whose}s with {len(cohort.film_patients):,} {what}s; {counts}"
        yield from (f"{name}: {note}" for note in cohort.notes)
    for name, each in patients.collections.items():
        yield from (f"{config.name}, {name}: {note}" for note in each.notes)


def announce_features(config: StudyConfig) -> Iterator[str]:
    """A line where trials could keep features of real patches, and this machine's cache folder cannot take them."""
    used = "head" in config.search.options.get("inner_weights", [config.distill.inner_weights])
    store = feature_store(config) if used else None
    if store is not None and (trouble := store.check()):
        yield f"{config.name}: {trouble}"


def announce_parts(config: StudyConfig, data: TaskData) -> str:
    """A line of who trains, validates and tests, and what is drawn from the training patients."""
    parts = {name: len(patients) for name, patients in vars(data.split).items()}
    if config.protocol == "paper":
        del parts["validation"]  # the test patients, once more
    words = ", ".join(f"{count} {name}" for name, count in parts.items())
    if config.confirm.folds:
        words += f" in each of {config.confirm.folds} folds"
    return f"{config.name}: {data.cohort.patients} {data.cohort.words[0]}s ({words}); {data.drawn_words}"
