"""Settings of the search inside a cell, and of the trials that confirm what came out best."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt, MinLen
from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from sldd.distillation.image_learner import DistillSettings
from sldd.errors import InputError
from study.config.pruners import PrunerName
from study.config.samplers import SamplerName
from study.grid.spec import Score


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise PydanticCustomError("range", "a range is [lowest, highest], lowest first")
    return ends


def _distill_options(options: dict[str, list[Any]]) -> dict[str, list[Any]]:
    known = [field.name for field in dataclasses.fields(DistillSettings)]
    meant: dict[str, list[Any]] = {}
    for name, choices in options.items():
        if name not in known:
            raise PydanticCustomError(
                "option",
                "{name} is no setting of distill; choose from {known}",
                {"name": name, "known": ", ".join(known)},
            )
        for choice in choices:
            try:
                read = TypeAdapter(DistillSettings).validate_python({name: choice})
            except ValidationError as error:
                reason = error.errors()[0]["msg"].lower()
                raise PydanticCustomError("option", "{name}: {reason}", {"name": name, "reason": reason}) from None
            meant.setdefault(name, []).append(getattr(read, name))
    return options | meant


_Rate = Annotated[float, Gt(0), Lt(1e6)]
_Share = Annotated[float, Gt(0), Lt(1)]
RateRange = Annotated[tuple[_Rate, _Rate], AfterValidator(_ordered)]
ShareRange = Annotated[tuple[_Share, _Share], AfterValidator(_ordered)]


@dataclass(frozen=True)
class SearchSettings:
    """The search inside a cell. Rates are searched on a log scale."""

    trials: Annotated[int, Ge(0)] = 8
    """Search trials a cell. The first takes the geometric middle of every range. 0: no search; confirm trials take that
    middle, which spares a cell a trial where nothing is to be chosen."""
    core_seconds: Annotated[float, Gt(0)] | None = None
    """Core seconds of a cell's search trials, of which no more begin once they are spent: methods that cost little then
    try more settings, up to ``trials``. null: ``trials``, whatever they cost."""
    sampler: SamplerName = "tpe"
    """What suggests the others: one of Optuna's samplers, from the cell's finished search trials; or ``shared``, a
    model of all cells' trials, from which a cell's first trial comes as well once there are a few, and which says what
    is confirmed. Needs BoTorch: ``pip install 'sldd-study[shared]'``."""
    prior: str | None = None
    """Folder of an earlier study of the same task on other patients, with whose search trials ``shared`` begins; none
    of them is confirmed. What was taken of it is kept in the study. The same cohort is refused; that no patient is in
    both is for you to see to."""
    parallel: Annotated[int, Ge(1)] = 1
    """Search trials of a cell that run at a time. Later ones then know less; with 1, what a trial knows never depends
    on timing."""
    score: Score = "smooth"
    """What search trials are compared by, on validation patients. ``smooth``: what states are, the mean of patient AUC
    and patch accuracy, which move with every patch. ``headline``: HM, which moves with a patient at a time, so that the
    best of several trials is the luckiest. Macro AUC, where films have findings, is both; of
    images of one class each they are the mean of macro AUC and balanced accuracy, and balanced accuracy."""
    warm_trials: Annotated[int, Ge(1)] | None = None
    """Search trials of a cell whose second takes the best setting of a neighbouring image count (``images: search``);
    by default half of ``trials``, but at least two. Where that equals ``trials``, the search is the full grid's."""
    outer_lr: RateRange = (0.01, 0.1)
    """Adam's rate on images; ``distill.label_lr`` and ``distill.rate_lr`` are multiples of it."""
    inner_lr: RateRange = (0.005, 0.08)
    """Where the learned inner rates start, in ``distill.rate_unit``."""
    receiver_lr: RateRange = (0.02, 1.0)
    """The same for methods that learn no rates, whose images are to be good for as many steps as a receiver takes."""
    train_lr: RateRange = (0.0003, 0.01)
    """Adam's rate on the weights, for ``method: train``."""
    delta: ShareRange = (0.05, 0.95)
    """Threshold on a patient's score; under ``protocol: paper`` it is fixed."""
    options: Annotated[dict[str, Annotated[list[Any], MinLen(1)]], AfterValidator(_distill_options)] = field(
        default_factory=dict
    )
    """Settings of ``distill`` to choose from, such as ``{labels: [raw, softmax], clip: [null, 3]}``; the first trial
    takes the first of each."""
    pruner: PrunerName = "none"
    """What ends search trials early; confirm trials never do. ``median``: a trial ends where its best validation score
    so far is below the median of what the cell's earlier ones had by then, of three at least. ``halving``: all of a
    cell's trials run to the first of ``rungs``, the better half of them goes on from there to the second, and so on."""
    stop_after: Annotated[float, Ge(0), Lt(1)] = 0.5
    """Share of the outer steps before which ``median`` stops none."""
    rungs: Annotated[list[Annotated[float, Gt(0)]], MinLen(1)] = field(default_factory=lambda: [0.25, 0.5])
    """Where trials of ``halving`` wait for each other: outer steps, or, below 1, shares of them; the next evaluation
    counts."""

    def check(self) -> None:
        """Raise an InputError where a setting says how to search and nothing is searched."""
        if self.trials > 0:
            return
        usual = SearchSettings()
        for name in ("core_seconds", "sampler", "prior", "pruner"):
            if getattr(self, name) != getattr(usual, name):
                raise InputError(
                    f"search.{name}: does nothing where search.trials=0, which searches nothing; leave it out, or give "
                    "more trials"
                )


@dataclass(frozen=True)
class ConfirmSettings:
    """Settings of confirm trials, whose scores are the study's answer."""

    repeats: Annotated[int, Ge(1)] = 3
    """Confirm trials a cell (and fold), each on a fresh seed."""
    folds: Annotated[int, Ge(2)] | None = None
    """Rotate so many patient-wise folds until every patient has been tested once, by a network that never saw them.
    Each fold searches its own settings: what is chosen for a patient's test is never chosen on that patient."""
