"""What to try next in a cell: settings of the search, and Optuna's suggestion from the cell's finished trials.

Samplers keep no state: a suggestion is a function of a name (study's seed, cell, number) and of earlier trials.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import optuna
from annotated_types import Ge, Gt, Lt, MinLen
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial
from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from ledger.ledger import Trial
from sldd.distillation.distill import DistillSettings
from study.config.checks import main_score

optuna.logging.set_verbosity(optuna.logging.WARNING)

Space = dict[str, BaseDistribution]


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise PydanticCustomError("range", "a range is [lowest, highest], lowest first")
    return ends


def _distill_options(options: dict[str, list[Any]]) -> dict[str, list[Any]]:
    known = [field.name for field in dataclasses.fields(DistillSettings)]
    for name, choices in options.items():
        if name not in known:
            raise PydanticCustomError(
                "option",
                "{name} is no setting of distill; choose from {known}",
                {"name": name, "known": ", ".join(known)},
            )
        for choice in choices:
            try:
                TypeAdapter(DistillSettings).validate_python({name: choice})
            except ValidationError as error:
                reason = error.errors()[0]["msg"].lower()
                raise PydanticCustomError("option", "{name}: {reason}", {"name": name, "reason": reason}) from None
    return options


_Rate = Annotated[float, Gt(0), Lt(1e6)]
_Share = Annotated[float, Gt(0), Lt(1)]
RateRange = Annotated[tuple[_Rate, _Rate], AfterValidator(_ordered)]
ShareRange = Annotated[tuple[_Share, _Share], AfterValidator(_ordered)]


@dataclass(frozen=True)
class SearchSettings:
    """The search inside a cell. Rates are searched on a log scale."""

    trials: Annotated[int, Ge(1)] = 8
    """Search trials a cell. The first takes the geometric middle of every range."""
    warm_trials: Annotated[int, Ge(1)] | None = None
    """Search trials of a cell whose second takes what was best at a neighbouring image count (``images: search``); half
    of ``trials``, but two or more, unless given. Where that is all of them, the search is the full grid's own."""
    outer_lr: RateRange = (0.005, 0.2)
    """Adam's rate on images, labels and raw inner rates."""
    inner_lr: RateRange = (0.005, 0.5)
    """Where the learned inner rates start."""
    train_lr: RateRange = (0.0003, 0.01)
    """Adam's rate on the weights, for ``method: train``."""
    delta: ShareRange = (0.05, 0.95)
    """Threshold on a patient's score; under ``protocol: paper`` it is fixed."""
    options: Annotated[dict[str, Annotated[list[Any], MinLen(1)]], AfterValidator(_distill_options)] = field(
        default_factory=dict
    )
    """Settings of ``distill`` to choose from, such as ``{labels: [raw, softmax], clip: [null, 3]}``; the first trial
    takes the first of each."""
    stop: Literal["none", "median"] = "none"
    """``median``: a search trial ends where its best validation score so far is below the median of what the cell's
    earlier ones had by then. Confirm trials never do."""
    stop_after: Annotated[float, Ge(0), Lt(1)] = 0.5
    """Share of the outer steps before which none is stopped."""


def objective(result: dict[str, Any]) -> tuple[float, float, float]:
    """How good a finished trial is on validation patients: HM at the exact best threshold, AUC, patch accuracy.

    Of films with findings: macro AUC, macro average precision, and how rarely a finding is called wrongly.
    """
    validation = result.get("validation")
    if result["status"] != "done" or validation is None:
        return (0.0, 0.0, 0.0)
    if "hm" not in validation:
        hamming = validation["hamming_loss"]
        wrong = 1.0 if hamming is None else hamming
        return (validation["auc"] or 0.0, validation["average_precision"] or 0.0, 1.0 - wrong)
    return (validation["hm"], validation["auc"] or 0.0, validation["patch_accuracy"] or 0.0)


def search_space(settings: SearchSettings, method: str, *, fixed_delta: bool) -> Space:
    """What is searched for a method: rates, the threshold unless fixed (or none), ``options`` of a distillation."""
    delta: Space = {} if fixed_delta else {"delta": FloatDistribution(*settings.delta)}
    if method == "train":
        return {"outer_lr": FloatDistribution(*settings.train_lr, log=True), **delta}
    return {
        "outer_lr": FloatDistribution(*settings.outer_lr, log=True),
        "inner_lr": FloatDistribution(*settings.inner_lr, log=True),
        **delta,
        **{name: CategoricalDistribution(choices) for name, choices in settings.options.items()},
    }


def middle(space: Space) -> dict[str, Any]:
    """The geometric middle of a rate's range, the middle of the threshold's, the first of a list of options."""
    return {name: _middle(distribution) for name, distribution in space.items()}


def suggest(name: str, space: Space, earlier: Sequence[Trial]) -> dict[str, Any]:
    """What Optuna's TPE, seeded by ``name``, makes of a cell's finished trials."""
    sampler = optuna.samplers.TPESampler(seed=zlib.crc32(name.encode()), n_startup_trials=4, multivariate=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([seen for trial in earlier for seen in observations(trial, space)])
    return study.ask(dict(space)).params


def observations(trial: Trial, space: Space) -> list[FrozenTrial]:
    """What the sampler learns from a trial: HM at the threshold it suggested, and at the exact best one; its score
    where no threshold is searched."""
    result = trial.result or {}
    facts = trial.config | trial.config["options"]
    parameters = {name: facts[name] for name in space}
    if result["status"] != "done" or result.get("validation") is None:
        return [_frozen(parameters, space, 0.0)]
    if "delta" not in space:
        return [_frozen(parameters, space, main_score(result["validation"]))]
    distribution = space["delta"]
    assert isinstance(distribution, FloatDistribution)
    best = min(max(result["delta"], distribution.low), distribution.high)
    curve = result["validation"]["curve"]

    def hm(delta: float) -> float:
        return float(next(hm for end, hm in zip(curve["delta"], curve["hm"], strict=True) if delta <= end))

    return [_frozen(parameters | {"delta": delta}, space, hm(delta)) for delta in (parameters["delta"], best)]


def _middle(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    return math.sqrt(low * high) if distribution.log else (low + high) / 2


def _frozen(parameters: dict[str, Any], space: Space, value: float) -> FrozenTrial:
    return create_trial(params=parameters, distributions=dict(space), value=value)
