"""What an earlier study found, on other patients, as observations that the shared model begins with (``search.prior``).

A study keeps what it took in ``prior.json``, so that its suggestions follow from its own folder, whatever becomes of
the other. These observations suggest settings and are never confirmed: the answer is of this study's trials alone.
Patients who validated there must not be tested here. A study of the same cohort is refused for that; one that shares
some of its patients cannot be told from others, since each study has its own names for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ledger.ledger import Ledger
from ledger.storage import Folder, StorageError, open_folder, write_whole
from ledger.trial_files import read_json, read_trials
from sldd.distillation.image_learner import DistillSettings
from sldd.errors import InputError
from study.config.loader import FORMER
from study.config.samplers import SHARED
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.search.sampler import score_of

PRIOR = "prior.json"
_OF_INNER_RATES = ("rate_unit", "inner_weights")
"""Settings of ``distill`` that say what an inner rate means."""


@dataclass(frozen=True)
class Observed:
    """A finished search trial of another study.

    Attributes:
        settings: rates and options by name, the threshold left out.
        score: on its validation patients, by what this study compares trials by.
    """

    cell: Cell
    parameters: int | None
    settings: Mapping[str, Any]
    score: float


def take_prior(config: StudyConfig, fingerprint: str, study: Folder) -> list[Observed]:
    """Observations of ``search.prior``, or those that the study has kept of it; none where it has none.

    Args:
        fingerprint: of the study's own cohort.
        study: its folder.

    Raises:
        InputError: the folder holds no study, or one of another task or method, or of the same cohort, or one whose
            inner rates mean something else, or the study's sampler does not learn from it.
    """
    where = config.search.prior
    if where is None:
        return []
    if config.search.sampler != SHARED:
        raise InputError(f"search.prior: sampler {config.search.sampler} learns from its own cell alone; take shared")
    kept = read_json(study / PRIOR)
    if kept is not None:
        return [Observed(**each | {"cell": _cell(each["cell"])}) for each in kept["observed"]]
    try:
        folder = open_folder(where)
    except StorageError as error:
        raise InputError(f"search.prior: {error}") from None
    header = Ledger(folder).header()
    if header is None:
        raise InputError(f"search.prior: {where} holds no study")
    task = header["config"].get("task", StudyConfig.task)
    if task != config.task:
        raise InputError(f"search.prior: {where} is a study of task {task}, and this one of {config.task}")
    if header["provenance"]["cohort"]["fingerprint"] == fingerprint:
        raise InputError(
            f"search.prior: {where} is of the same patients, some of whom may have validated there and be tested here; "
            "take a study of others"
        )
    methods = {method for block in config.grid for method in block.method}
    observed = list(_observed(folder, config))
    if not any(each.cell.method in methods for each in observed):
        found = ", ".join(sorted({each.cell.method for each in observed})) or "no search trials that are done"
        raise InputError(f"search.prior: {where} has {found}, and this study {', '.join(sorted(methods))}")
    taken = [each for each in observed if each.cell.method in methods]
    if any("inner_lr" in each.settings for each in taken):
        _check_inner_rates(header["config"], config)
    return taken


def keep_prior(observed: list[Observed], study: Folder) -> None:
    """Write what was taken into the study's folder, once."""
    if observed and not (study / PRIOR).is_file():
        write_whole(study / PRIOR, json.dumps({"observed": [asdict(each) for each in observed]}))


def _check_inner_rates(before: Mapping[str, Any], config: StudyConfig) -> None:
    for name in _OF_INNER_RATES:
        usual = FORMER.get(f"distill.{name}", getattr(DistillSettings, name))
        there, here = (before.get("distill") or {}).get(name, usual), getattr(config.distill, name)
        if there != here and name not in config.search.options:
            raise InputError(
                f"search.prior: {config.search.prior} has distill.{name}={there}, and this study {here}, so its inner "
                "rates mean something else; take a study of the same"
            )


def _observed(folder: Folder, config: StudyConfig) -> Iterator[Observed]:
    task, by = TASKS[config.task], score_of(config.search, config.protocol)
    for trial in sorted(read_trials(folder), key=lambda trial: (trial.cell, trial.number)):
        spec, result = TrialSpec.from_json(trial.config), trial.result or {}
        over = result.get("status") in ("done", "diverged") and result.get("rung") is None
        if spec.phase == "search" and over:
            validation = result.get("validation") if result["status"] == "done" else None
            score = 0.0 if validation is None else task.compared(validation, by)
            yield Observed(spec.cell, spec.parameters, spec.settings, score)


def _cell(fields: dict[str, Any]) -> Cell:
    return Cell(**fields | {"chain": tuple(fields["chain"])})
