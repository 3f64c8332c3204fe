"""Optuna's suggestions for a cell, from its finished trials.

Samplers keep no state: a suggestion is a function of a name (study's seed, cell, number) and of earlier trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ledger.trial import Trial
from study.config.methods import METHODS
from study.config.methods.base import Space
from study.config.samplers import SAMPLERS, SHARED
from study.config.search_settings import SearchSettings
from study.config.tasks import TASKS
from study.grid.protocol import Protocol, fixed_delta
from study.grid.spec import Score, TrialSpec

optuna.logging.set_verbosity(optuna.logging.WARNING)


def search_space(settings: SearchSettings, method: str, *, fixed_delta: bool) -> Space:
    """Search space of a method: rates, the threshold unless fixed (or none), ``options`` of a distillation."""
    delta: Space = {} if fixed_delta else {"delta": FloatDistribution(*settings.delta)}
    return METHODS[method].search_space(settings, delta)


def score_of(settings: SearchSettings, protocol: Protocol) -> Score:
    """Score that search trials are compared by: that of the settings, but HM under the papers' protocol. With a given
    threshold, as published, HM chooses the states there too."""
    return settings.score if fixed_delta(protocol) is None else "headline"


def middle(space: Space) -> dict[str, Any]:
    """The geometric middle of a rate's range, the middle of the threshold's, the first of a list of options."""
    return {name: _middle(distribution) for name, distribution in space.items()}


def suggest(
    name: str, space: Space, earlier: Sequence[Trial], sampler: str, running: Sequence[Trial] = ()
) -> dict[str, Any]:
    """Suggestion of one of ``SAMPLERS``, seeded by ``name``, from a cell's finished trials and those that run.

    Where all cells are to share a model and there is too little to make one of, it is at random.
    """
    seeded = SAMPLERS["random" if sampler == SHARED else sampler](name)
    study = optuna.create_study(direction="maximize", sampler=seeded)
    study.add_trials([seen for trial in earlier for seen in observations(trial, space)])
    for trial in running:
        parameters = TrialSpec.of(trial).parameters_in(space)
        study.add_trial(create_trial(state=TrialState.RUNNING, params=parameters, distributions=dict(space)))
    return study.ask(dict(space)).params


def observations(trial: Trial, space: Space) -> list[FrozenTrial]:
    """What the sampler learns from a finished trial: the score that trials are compared by, at its settings and the
    exact best threshold.

    Where that score is HM, HM at the threshold that the sampler suggested is a second observation. A trial that
    diverged counts as 0.
    """
    result, spec = trial.result or {}, TrialSpec.of(trial)
    parameters = spec.parameters_in(space)
    if result["status"] != "done" or result.get("validation") is None:
        return [_frozen(parameters, space, 0.0)]
    compared = TASKS[spec.task].compared(result["validation"], spec.score)
    if "delta" not in space:
        return [_frozen(parameters, space, compared)]
    distribution = space["delta"]
    assert isinstance(distribution, FloatDistribution)
    best = min(max(result["delta"], distribution.low), distribution.high)
    if spec.score == "smooth":
        return [_frozen(parameters | {"delta": best}, space, compared)]
    curve, thresholds = result["validation"]["curve"], (parameters["delta"], best)
    return [_frozen(parameters | {"delta": delta}, space, _hm_at(curve, delta)) for delta in thresholds]


def _hm_at(curve: dict[str, list[float]], delta: float) -> float:
    """HM at a threshold, of a curve that is constant up to and with each of its thresholds."""
    return float(next(hm for end, hm in zip(curve["delta"], curve["hm"], strict=True) if delta <= end))


def _middle(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    return math.sqrt(low * high) if distribution.log else (low + high) / 2


def _frozen(parameters: dict[str, Any], space: Space, value: float) -> FrozenTrial:
    return create_trial(params=parameters, distributions=dict(space), value=value)
