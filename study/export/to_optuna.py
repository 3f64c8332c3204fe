"""Optuna export: one Optuna study for each cell, since each cell was searched on its own.

A search trial is an Optuna trial, with the parameters that were suggested and their ranges. Its value is the score that
tables and figures compare cells by: HM on validation patients at their best threshold, or the score of the study's
task. A cell's own search compares its trials by that where ``search.score`` is ``headline``. Confirm trials are no part
of a search; they are an attribute of the cell's study.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from analysis.records.records import Study
from sldd.errors import InputError
from study.config.methods import METHODS
from study.config.schema import StudyConfig
from study.config.search_settings import SearchSettings
from study.config.tasks import TASKS
from study.export.cells import HISTORY, TrialMetadata, check_same, identity, read_exported, when
from study.search.sampler import Space, search_space

_IDENTITY = "sldd study"
"""Attribute of an Optuna study with the identity of the study that it is from."""


def export(study: Study, where: str) -> str:
    """Bring the Optuna database at the URL ``where`` up to date; what was done, in words.

    Raises:
        InputError: the database cannot be used, or holds another study of this name.
    """
    try:
        shown = make_url(where).render_as_string(hide_password=True)
        storage = RDBStorage(where)
        settings = TypeAdapter(SearchSettings).validate_python(study.config.get("search") or {})
        counts = [_export_cell(study, cell, trials, settings, storage) for cell, trials in read_exported(study)]
    except ValidationError as error:
        raise InputError(
            f"{study.folder}: its search settings are of another version ({error.errors()[0]['msg']})"
        ) from None
    except (SQLAlchemyError, ImportError, RuntimeError, optuna.exceptions.OptunaError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"--optuna: the database cannot be used ({reason})") from None
    new, changed = (sum(numbers) for numbers in zip(*counts, strict=True)) if counts else (0, 0)
    return f"{new} trials new, {changed} changed, in {len(counts)} studies of {shown}"


def _export_cell(
    study: Study, cell: str, trials: list[TrialMetadata], settings: SearchSettings, storage: RDBStorage
) -> tuple[int, int]:
    """Export a cell; returns the numbers of new trials, and of those that have ended since they were exported."""
    target = optuna.create_study(
        storage=storage, study_name=f"{study.name}/{cell}", direction="maximize", load_if_exists=True
    )
    before, there_before = target.user_attrs, target.get_trials(deepcopy=False)
    if before or there_before:
        check_same(study, before.get(_IDENTITY), "--optuna: the database")
    for name, value in _attributes(study, trials).items():
        if before.get(name) != value:
            target.set_user_attr(name, value)
    known = {_key(trial.user_attrs): trial for trial in there_before}
    study_id = storage.get_study_id_from_name(target.study_name)
    task = TASKS.get(str(study.config.get("task")), TASKS[StudyConfig.task])
    new = changed = 0
    for trial in trials:
        if trial.phase != "search":
            continue
        now = _optuna_trial(trial, settings, task.score)
        for attempt in range(1, trial.attempt):
            earlier = known.get((trial.trial, attempt))
            if earlier is not None and not earlier.state.is_finished():
                _end(storage, study_id, earlier, None)
                changed += 1
        exported = known.get((trial.trial, trial.attempt))
        if exported is None or _went_on(exported, now):
            now.datetime_start, ended = when(study, trial)
            now.datetime_complete = (ended or now.datetime_start) if now.state.is_finished() else None
            target.add_trial(now)
            new += 1
        elif not exported.state.is_finished() and now.state.is_finished():
            _end(storage, study_id, exported, now)
            changed += 1
    return new, changed


def _went_on(exported: FrozenTrial, now: FrozenTrial) -> bool:
    """Whether a trial was exported as pruned while it waited at a rung, and has ended at a later step since.

    Optuna lets no trial change that has ended. Such a trial is exported once more, as another one of the same name.
    """
    later = len(now.intermediate_values) > len(exported.intermediate_values)
    return exported.state == TrialState.PRUNED and now.state.is_finished() and later


def _key(attributes: Mapping[str, Any]) -> tuple[Any, Any]:
    """(trial, attempt) of an Optuna trial, by its attributes."""
    return attributes.get("trial"), attributes.get("attempt")


def _end(storage: RDBStorage, study_id: int, exported: FrozenTrial, now: FrozenTrial | None) -> None:
    """End a trial that was exported while it ran: with what it ended with ``now``; as failed where that is None."""
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, exported.number)
    if now is None:
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
        return
    for step, value in now.intermediate_values.items():
        storage.set_trial_intermediate_value(trial_id, step, value)
    for name, value in now.user_attrs.items():
        if exported.user_attrs.get(name) != value:
            storage.set_trial_user_attr(trial_id, name, value)
    storage.set_trial_state_values(trial_id, now.state, now.values)


def _attributes(study: Study, trials: list[TrialMetadata]) -> dict[str, Any]:
    """Attributes of a cell's Optuna study: setting, origin, scores of its confirm trials."""
    setting = {name: value for name, value in trials[0].setting.items() if name != "seed"}
    confirm = [
        {"trial": trial.trial, "seed": trial.setting.get("seed"), "status": trial.status, **trial.scores}
        for trial in trials
        if trial.phase == "confirm"
    ]
    origin = {_IDENTITY: identity(study), "revision": str(study.provenance.get("revision") or "")}
    return origin | setting | {"confirm": confirm}


def _optuna_trial(trial: TrialMetadata, settings: SearchSettings, score: str) -> FrozenTrial:
    """A search trial as Optuna has it, with the curve of its score as intermediate values.

    Args:
        score: the score of the study's task, as results name it.
    """
    column = f"val_{score}"
    value, curve = trial.scores.get(column), HISTORY[column]
    states = {"running": TrialState.RUNNING, "done": TrialState.PRUNED if trial.stopped else TrialState.COMPLETE}
    state = states.get(trial.status, TrialState.FAIL)
    if state == TrialState.COMPLETE and value is None:
        state = TrialState.FAIL
    parameters, space = _parameters(trial, settings)
    attributes: dict[str, Any] = {"trial": trial.trial, "attempt": trial.attempt, "status": trial.status}
    attributes |= {"seed": trial.setting.get("seed")} | ({"error": trial.error} if trial.error else {})
    attributes |= trial.scores | trial.costs
    return create_trial(
        state=state,
        value=value if state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        params=parameters,
        distributions=space,
        user_attrs=attributes,
        intermediate_values={step: values[curve] for step, values in trial.history if curve in values},
    )


def _parameters(trial: TrialMetadata, settings: SearchSettings) -> tuple[dict[str, Any], Space]:
    """A trial's suggested values, and the ranges that they are from, as far as the search space has these.

    The space is that of the settings as they are now. Where a range was changed since, it is widened to hold the value.
    """
    method = str(trial.setting.get("method"))
    fixed_delta = trial.setting.get("protocol") == "paper"
    space = search_space(settings, method, fixed_delta=fixed_delta) if method in METHODS else {}
    parameters, ranges = {}, {}
    for name, distribution in space.items():
        if name in trial.suggested and (fitting := _fitting(distribution, trial.suggested[name])) is not None:
            parameters[name], ranges[name] = trial.suggested[name], fitting
    return parameters, ranges


def _fitting(distribution: BaseDistribution, value: Any) -> BaseDistribution | None:
    """The distribution, widened to hold a number; None where it cannot have had this value."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution if value in distribution.choices else None
    if not isinstance(distribution, FloatDistribution) or not isinstance(value, int | float):
        return None
    low, high = min(distribution.low, value), max(distribution.high, value)
    return FloatDistribution(low, high, log=distribution.log)
