"""Checks and defaults of a configuration that depend on its task and methods."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Container, Iterable
from dataclasses import fields, replace
from typing import Any

from sldd.backbones.start import PRETRAINED
from sldd.data.augment import AugmentSettings
from sldd.data.cohort import Cohort
from sldd.data.patches import PatchSettings
from sldd.data.settings import TOLD_WHOLE
from sldd.errors import InputError
from sldd.training.fresh_start import FreshSettings
from study.config.cells import cells
from study.config.methods import METHODS
from study.config.methods.base import Method
from study.config.methods.distilling import Distilling
from study.config.pruners import PRUNERS
from study.config.samplers import SHARED
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.config.tasks.films import FilmsTask
from study.grid.protocol import fixed_delta


def with_task_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """The configuration's tree with the defaults of its task filled in."""
    task = tree.get("task", StudyConfig.task)
    return TASKS[task].with_defaults(tree) if isinstance(task, str) and task in TASKS else tree


def check_source(tree: dict[str, Any]) -> None:
    """Raise an InputError where a folder of films is named and their kind is not: phantoms would be taken for them."""
    data = tree.get("data", {})
    if data.get("root") is not None and "source" not in data:
        raise InputError(
            f"data.root: the kind of what lies there is not named; add {_names('data.source', _WITH_FILES)}"
        )


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
    by_block = [(block, cells([block], task=task.name)) for block in config.grid]
    if not any(made for _, made in by_block):
        raise InputError(
            "grid.transfer: mixed and co_trained take a chain of two collections or more, so there is no cell; name "
            "them in grid.chain"
        )
    for block, made in by_block:
        used = {cell.label_init for cell in made}
        for start in block.label_init:
            if start not in task.label_starts and (start in used or start not in known):
                raise InputError(
                    f"grid.label_init: {start} is no start of task {task.name}; choose from "
                    + ", ".join(task.label_starts)
                )
        if made and block.chain != [[]] and cells([replace(block, chain=[[]])], task=task.name) == made:
            raise InputError(
                "grid.chain: transfer is ordinary training of films with findings, which this block has not; "
                "leave it out"
            )
    task.check(config)


def _names(key: str, names: Iterable[str]) -> str:
    return _alternatives(*(f"{key}={name}" for name in names))


def _alternatives(*names: str) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _searches_counts(config: StudyConfig) -> bool:
    return any(block.images == "search" for block in config.grid)


def _chained(config: StudyConfig) -> bool:
    return any(block.chain != [[]] for block in config.grid)


def _starts_pretrained(config: StudyConfig) -> bool:
    return any(PRETRAINED in start for block in config.grid for start in (block.start, *block.chain))


def _tells_films(config: StudyConfig) -> bool:
    return isinstance(TASKS[config.task], FilmsTask)


def _cuts_patches(config: StudyConfig) -> bool:
    return not _tells_films(config)


def _of_source(*kinds: str) -> Callable[[StudyConfig], bool]:
    return lambda config: config.data.source in kinds


def _settings_of(group: str, kind: type, *, without: Container[str]) -> tuple[str, ...]:
    """All settings of a group but those that decide whether the others do anything."""
    return tuple(f"{group}.{each.name}" for each in fields(kind) if each.name not in without)


def _augments(config: StudyConfig) -> bool:
    return any(METHODS[method].augments(config.augment) for block in config.grid for method in block.method)


def _learns_labels_by_steps(config: StudyConfig) -> bool:
    """Whether the soft labels of some cell may follow their gradient."""
    learning = [
        (method, cell)
        for cell in cells(config.grid, task=config.task)
        if isinstance(method := METHODS[cell.method], Distilling) and "labels" in method.learned
    ]
    return not learning or not all(method.solves_labels(cell, config) for method, cell in learning)


_WITH_SETTINGS = ("phantom", *TOLD_WHOLE)
"""Sources that have settings of their own."""
_WITH_FILES = ("folder", *TOLD_WHOLE)
"""Sources that read ``data.root``."""
_DECIDING_STEPS = ("outer.steps", "outer.epochs", "grid.epochs")
"""What says how many outer steps are taken, beside ``train.steps``."""
_SEARCHED = "search.options."
"""Before the name of a setting of ``distill`` that is searched."""
_FILMS_TASKS = [name for name, task in TASKS.items() if isinstance(task, FilmsTask)]
_NEEDED: tuple[tuple[tuple[str, ...], str, Callable[[StudyConfig], bool]], ...] = (
    (("search.rungs",), "search.pruner=halving", lambda config: PRUNERS[config.search.pruner].rungs),
    (("search.stop_after",), "search.pruner=median", lambda config: config.search.pruner == "median"),
    (("search.warm_trials", "grid.most_images"), "grid.images=search", _searches_counts),
    (("grid.transfer", "sources."), "grid.chain", _chained),
    (("pretrained",), "grid.start=pretrained, or pretrained in grid.chain", _starts_pretrained),
    (
        ("distill.feature_bank",),
        "distill.inner_weights=head",
        lambda config: "head" in config.search.options.get("inner_weights", [config.distill.inner_weights]),
    ),
    (("distill.label_lr",), "distill.label_update=gradient: these labels are solved", _learns_labels_by_steps),
    (
        ("search.delta",),
        "a task whose threshold is searched, and protocol=validation",
        lambda config: TASKS[config.task].searches_delta and fixed_delta(config.protocol) is None,
    ),
    (("data.split.test",), "confirm.folds=null", lambda config: config.confirm.folds is None),
    (("data.root",), _names("data.source", _WITH_FILES), _of_source(*_WITH_FILES)),
    (("data.film_size",), _names("data.source", TOLD_WHOLE), _of_source(*TOLD_WHOLE)),
    *(((f"data.{kind}.",), f"data.source={kind}", _of_source(kind)) for kind in _WITH_SETTINGS),
    (
        _settings_of("evaluate", FreshSettings, without=["starts"]),
        "evaluate.starts=1 or more",
        lambda config: config.evaluate.starts > 0,
    ),
    (
        ("grid.train_view", *_settings_of("patches", PatchSettings, without=["input_size"])),
        _names("task", (name for name in TASKS if name not in _FILMS_TASKS)),
        _cuts_patches,
    ),
    (("augment.",), _names("task", _FILMS_TASKS), _tells_films),
    (
        _settings_of("augment", AugmentSettings, without=["train", "distill"]),
        "augment.train=true for ordinary training, or augment.distill=true for the others",
        _augments,
    ),
)
"""Settings, alone or a group, that do nothing without another: what they need, in words, and whether it is there."""


def why_idle(config: StudyConfig, key: str) -> str | None:
    """Why a setting does nothing here, and what to do, in words to follow its key; None where it does something."""
    if key in _DECIDING_STEPS and (reason := _why_steps_are_idle(config, key)) is not None:
        return reason
    searched = key.replace(_SEARCHED, "distill.") if key.startswith(_SEARCHED) else key
    lacking = (needed for keys, needed, there in _NEEDED if searched.startswith(keys) and not there(config))
    needed = next(lacking, None) or _methods_lacking(config, key) or _methods_lacking(config, searched)
    return needed and f"does nothing without {needed}; give that too, or leave it out"


def _methods_lacking(config: StudyConfig, key: str) -> str | None:
    """The methods that a setting is for, in words, where the grid has none of them; None where it has one, or where all
    methods read the setting.

    The longest prefix decides: ``distill.image_init`` is for methods that list it, not for all that list ``distill.``.
    """
    fitting = {
        name: [prefix for prefix in _read_by(method) if key.startswith(prefix)] for name, method in METHODS.items()
    }
    longest = max((prefix for prefixes in fitting.values() for prefix in prefixes), key=len, default=None)
    if longest is None:
        return None
    readers = [name for name, prefixes in fitting.items() if longest in prefixes]
    if any(method in readers for block in config.grid for method in block.method):
        return None
    shown = readers if len(readers) < 5 else [*readers[:3], f"{len(readers) - 3} others"]
    return _alternatives("grid.method=" + shown[0], *shown[1:])


def _read_by(method: Method) -> tuple[str, ...]:
    """Prefixes of the keys that a method reads and some others do not."""
    return (*method.reads, *(f"search.{within}" for within in method.ranges.values()))


def _why_steps_are_idle(config: StudyConfig, key: str) -> str | None:
    trains = all("train." in METHODS[method].reads for block in config.grid for method in block.method)
    if trains and config.train.steps is not None:
        return f"train.steps decides in this study ({config.train.steps}), which only trains; give that, or null"
    if key != "outer.steps":
        return None
    deciding = "outer" if config.outer.epochs is not None else "grid"
    if deciding == "grid" and any(block.epochs is None for block in config.grid):
        return None
    return (
        f"the number of steps follows from {deciding}.epochs in this study; give that, or add outer.epochs=null "
        "grid.epochs=null"
    )


def check_cohort(config: StudyConfig, cohort: Cohort) -> None:
    """Raise an InputError where the cohort does not suit the task."""
    mismatch = TASKS[config.task].mismatch(cohort)
    if mismatch is not None:
        raise InputError(f"data.source: films of {config.data.source} {mismatch}")
