"""Checks and defaults of a configuration that depend on its task and methods."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

from sldd.backbones.start import PRETRAINED
from sldd.data.cohort import Cohort
from sldd.data.patches import PatchSettings
from sldd.data.settings import TOLD_WHOLE
from sldd.errors import InputError
from study.config.cells import cells
from study.config.methods import METHODS
from study.config.methods.matching import Matched
from study.config.pruners import PRUNERS
from study.config.samplers import SHARED
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.config.tasks.films import FilmsTask


def with_task_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """The configuration's tree with the defaults of its task filled in."""
    task = tree.get("task", StudyConfig.task)
    return TASKS[task].with_defaults(tree) if isinstance(task, str) and task in TASKS else tree


def check_names(config: StudyConfig) -> None:
    """Raise an InputError where a task or method does not exist, or what the sampler needs is not installed."""
    _check_name("task", config.task, TASKS)
    for number, block in enumerate(config.grid):
        place = f"grid.{number}" if len(config.grid) > 1 else "grid"
        for point, method in enumerate(block.method):
            _check_name(f"{place}.method.{point}", method, METHODS)
    if config.search.sampler == SHARED and importlib.util.find_spec("botorch") is None:
        raise InputError(
            "search.sampler: shared needs BoTorch, not installed: pip install 'sldd-study[shared]', or take tpe"
        )


def _check_name(key: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        *first, last = (f"'{each}'" for each in known)
        raise InputError(f"{key}: input should be {', '.join(first)} or {last} (got {name!r})")


def check_task(config: StudyConfig) -> None:
    """Raise an InputError where a setting does not go with the task."""
    task = TASKS[config.task]
    known = {start for each in TASKS.values() for start in each.label_starts}
    for block in config.grid:
        made = cells([block], task=task.name)
        used = {cell.label_init for cell in made}
        for start in block.label_init:
            if start not in task.label_starts and (start in used or start not in known):
                raise InputError(
                    f"grid.label_init: {start} is no start of task {task.name}; choose from "
                    + ", ".join(task.label_starts)
                )
        if not made:
            raise InputError(
                "grid.transfer: mixed and co_trained take a chain of two collections or more, so this block has no "
                "cell; name them in grid.chain"
            )
        if block.chain != [[]] and cells([replace(block, chain=[[]])], task=task.name) == made:
            raise InputError(
                "grid.chain: transfer is ordinary training of films with findings, which this block has not; "
                "leave it out"
            )
    task.check(config)


def _names(key: str, names: Iterable[str]) -> str:
    *first, last = (f"{key}={name}" for name in names)
    return f"{', '.join(first)} or {last}" if first else last


def _searches_counts(config: StudyConfig) -> bool:
    return any(block.images == "search" for block in config.grid)


def _matches(config: StudyConfig) -> bool:
    return any(isinstance(METHODS[method], Matched) for block in config.grid for method in block.method)


def _starts_pretrained(config: StudyConfig) -> bool:
    return any(PRETRAINED in start for block in config.grid for start in (block.start, *block.chain))


def _of_source(kind: str) -> Callable[[StudyConfig], bool]:
    return lambda config: config.data.source == kind


_WITH_SETTINGS = ("phantom", *TOLD_WHOLE)
"""Sources that have settings of their own."""
_OF_PATCHES = (
    "grid.train_view",
    *(f"patches.{each.name}" for each in fields(PatchSettings) if each.name != "input_size"),
)
_NEEDED: tuple[tuple[str, str, Callable[[StudyConfig], bool]], ...] = (
    ("search.rungs", "search.pruner=halving", lambda config: PRUNERS[config.search.pruner].rungs),
    ("search.stop_after", "search.pruner=median", lambda config: config.search.pruner == "median"),
    ("search.warm_trials", "grid.images=search", _searches_counts),
    ("grid.most_images", "grid.images=search", _searches_counts),
    ("grid.transfer", "grid.chain", lambda config: any(block.chain != [[]] for block in config.grid)),
    ("pretrained", "grid.start=pretrained, or pretrained in grid.chain", _starts_pretrained),
    ("sources.", "grid.chain", lambda config: any(block.chain != [[]] for block in config.grid)),
    (
        "search.receiver_lr",
        _names("grid.method", (name for name, method in METHODS.items() if isinstance(method, Matched))),
        _matches,
    ),
    *((f"data.{kind}.", f"data.source={kind}", _of_source(kind)) for kind in _WITH_SETTINGS),
    ("data.film_size", _names("data.source", TOLD_WHOLE), lambda config: config.data.source in TOLD_WHOLE),
    ("evaluate.", "evaluate.starts=1 or more", lambda config: config.evaluate.starts > 0),
    *((name, "task=patches", lambda config: config.task == "patches") for name in _OF_PATCHES),
    (
        "augment.",
        _names("task", (name for name, task in TASKS.items() if isinstance(task, FilmsTask))),
        lambda config: isinstance(TASKS[config.task], FilmsTask),
    ),
    (
        "match.",
        _names("grid.method", (name for name, method in METHODS.items() if isinstance(method, Matched))),
        _matches,
    ),
)
"""Settings, alone or a group, that do nothing without another: what they need, in words, and whether it is there."""


def check_needed(config: StudyConfig, given: Iterable[str]) -> None:
    """Raise an InputError where a setting that was typed does nothing, for want of another."""
    for key in given:
        for name, needed, there in _NEEDED:
            if key.startswith(name) and key != "evaluate.starts" and not there(config):
                raise InputError(f"{key}: does nothing without {needed}; give that too, or leave it out")


def check_cohort(config: StudyConfig, cohort: Cohort) -> None:
    """Raise an InputError where the cohort does not suit the task."""
    mismatch = TASKS[config.task].mismatch(cohort)
    if mismatch is not None:
        raise InputError(f"data.source: films of {config.data.source} {mismatch}")
