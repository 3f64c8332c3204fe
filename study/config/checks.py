"""Checks and defaults of a configuration that depend on its task and methods."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sldd.data.cohort import Cohort
from sldd.errors import InputError
from study.config.cells import cells
from study.config.methods import METHODS
from study.config.samplers import SHARED
from study.config.schema import StudyConfig
from study.config.tasks import TASKS


def with_task_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """The configuration's tree with the defaults of its task filled in."""
    task = tree.get("task", StudyConfig.task)
    return TASKS[task].with_defaults(tree) if task in TASKS else tree


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
        if block.chain != [[]] and cells([replace(block, chain=[[]])], task=task.name) == made:
            raise InputError(
                "grid.chain: transfer is ordinary training of films with findings, which this block has not; "
                "leave it out"
            )
    task.check(config)


def check_cohort(config: StudyConfig, cohort: Cohort) -> None:
    """Raise an InputError where the cohort does not suit the task."""
    mismatch = TASKS[config.task].mismatch(cohort)
    if mismatch is not None:
        raise InputError(f"data.source: films of {config.data.source} {mismatch}")
