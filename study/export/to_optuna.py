"""Optuna export: one Optuna study a cell, since each cell was searched on its own.

A search trial is an Optuna trial, with the parameters that were suggested, their ranges, and as its value what tables
and figures compare cells by: HM on validation patients at their best threshold, or the score of the study's task. A
cell's own search compares its trials by that where ``search.score`` is ``headline``. Confirm trials were not searched
for anything; they are an attribute of the cell's study.
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

_OURS = "sldd study"


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
    """Export a cell; returns the numbers of new trials and of those that have ended since."""
    target = optuna.create_study(
        storage=storage, study_name=f"{study.name}/{cell}", direction="maximize", load_if_exists=True
    )
    before, there_before = target.user_attrs, target.get_trials(deepcopy=False)
    if before or there_before:
        check_same(study, before.get(_OURS), "--optuna: the database")
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
        frozen = _frozen(trial, settings, task.score)
        for attempt in range(1, trial.attempt):
            earlier = known.get((trial.trial, attempt))
            if earlier is not None and not earlier.state.is_finished():
                _end(storage, study_id, earlier, None)
                changed += 1
        there = known.get((trial.trial, trial.attempt))
        if there is None or _went_on(there, frozen):
            frozen.datetime_start, ended = when(study, trial)
            frozen.datetime_complete = (ended or frozen.datetime_start) if frozen.state.is_finished() else None
            target.add_trial(frozen)
            new += 1
        elif not there.state.is_finished() and frozen.state.is_finished():
            _end(storage, study_id, there, frozen)
            changed += 1
    return new, changed


def _went_on(there: FrozenTrial, frozen: FrozenTrial) -> bool:
    """Whether a trial was exported as pruned, at a rung, and has ended later since: Optuna changes none that has ended,
    so that it has another one, of the same name."""
    later = len(frozen.intermediate_values) > len(there.intermediate_values)
    return there.state == TrialState.PRUNED and frozen.state.is_finished() and later


def _key(attributes: Mapping[str, Any]) -> tuple[Any, Any]:
    return attributes.get("trial"), attributes.get("attempt")


def _end(storage: RDBStorage, study_id: int, there: FrozenTrial, frozen: FrozenTrial | None) -> None:
    """Give a trial that was running what it ended with; without that, it has failed."""
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, there.number)
    if frozen is None:
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
        return
    for step, value in frozen.intermediate_values.items():
        storage.set_trial_intermediate_value(trial_id, step, value)
    for name, value in frozen.user_attrs.items():
        if there.user_attrs.get(name) != value:
            storage.set_trial_user_attr(trial_id, name, value)
    storage.set_trial_state_values(trial_id, frozen.state, frozen.values)


def _attributes(study: Study, trials: list[TrialMetadata]) -> dict[str, Any]:
    """Attributes of a cell's Optuna study: setting, origin, scores of its confirm trials."""
    setting = {name: value for name, value in trials[0].setting.items() if name != "seed"}
    confirm = [
        {"trial": trial.trial, "seed": trial.setting.get("seed"), "status": trial.status, **trial.scores}
        for trial in trials
        if trial.phase == "confirm"
    ]
    origin = {_OURS: identity(study), "revision": str(study.provenance.get("revision") or "")}
    return origin | setting | {"confirm": confirm}


def _frozen(trial: TrialMetadata, settings: SearchSettings, score: str) -> FrozenTrial:
    name = f"val_{score}"
    hm, seen = trial.scores.get(name), HISTORY[name]
    states = {"running": TrialState.RUNNING, "done": TrialState.PRUNED if trial.stopped else TrialState.COMPLETE}
    state = states.get(trial.status, TrialState.FAIL)
    if state == TrialState.COMPLETE and hm is None:
        state = TrialState.FAIL
    parameters, space = _parameters(trial, settings)
    attributes: dict[str, Any] = {"trial": trial.trial, "attempt": trial.attempt, "status": trial.status}
    attributes |= {"seed": trial.setting.get("seed")} | ({"error": trial.error} if trial.error else {})
    attributes |= trial.scores | trial.costs
    return create_trial(
        state=state,
        value=hm if state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        params=parameters,
        distributions=space,
        user_attrs=attributes,
        intermediate_values={step: values[seen] for step, values in trial.history if seen in values},
    )


def _parameters(trial: TrialMetadata, settings: SearchSettings) -> tuple[dict[str, Any], Space]:
    """Suggested values with their ranges; a range that was changed since is widened to hold its value."""
    fixed, method = trial.setting.get("protocol") == "paper", str(trial.setting.get("method"))
    space = search_space(settings, method, fixed_delta=fixed) if method in METHODS else {}
    parameters, ranges = {}, {}
    for name, distribution in space.items():
        if name in trial.suggested and (fitting := _fitting(distribution, trial.suggested[name])) is not None:
            parameters[name], ranges[name] = trial.suggested[name], fitting
    return parameters, ranges


def _fitting(distribution: BaseDistribution, value: Any) -> BaseDistribution | None:
    if isinstance(distribution, CategoricalDistribution):
        return distribution if value in distribution.choices else None
    if not isinstance(distribution, FloatDistribution) or not isinstance(value, int | float):
        return None
    low, high = min(distribution.low, value), max(distribution.high, value)
    return FloatDistribution(low, high, log=distribution.log)
