"""Optuna inside every cell, as one Ray Tune Searcher.

Each cell keeps a study of its own: ``search.trials`` trials that suggest rates and threshold, scored on validation
patients, then ``search.repeats`` confirm trials of the best setting on fresh seeds, scored once on test patients.
Cells take turns; a cell runs one search trial at a time, so what trial i knows never depends on timing. Samplers keep
no state: a suggestion is a function of the study's seed, the cell, i, and the cell's finished trials before i.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import optuna
from annotated_types import Ge, Gt, Lt, MinLen
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial
from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from ray.tune.search import Searcher

from sldd.distill import DistillSettings
from study.grid import Cell
from study.ledger import Ledger, Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)


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
    """The search inside a cell, and its confirmation. Rates are searched on a log scale."""

    trials: Annotated[int, Ge(1)] = 8
    """Search trials a cell. The first takes the geometric middle of every range."""
    repeats: Annotated[int, Ge(1)] = 3
    """Confirm trials a cell, each on a fresh seed."""
    outer_lr: RateRange = (0.005, 0.2)
    """Adam's rate on images, labels and raw inner rates."""
    inner_lr: RateRange = (0.005, 0.5)
    """Where the learned inner rates start."""
    train_lr: RateRange = (0.0003, 0.01)
    """Adam's rate on the weights, for ``method: train``."""
    delta: ShareRange = (0.05, 0.95)
    """Threshold on a patient's score."""
    options: Annotated[dict[str, Annotated[list[Any], MinLen(1)]], AfterValidator(_distill_options)] = field(
        default_factory=dict
    )
    """Settings of ``distill`` to choose from, such as ``{labels: [raw, softmax], clip: [null, 3]}``; the first trial
    takes the first of each."""


def objective(result: dict[str, Any]) -> tuple[float, float, float]:
    """How good a finished trial is on validation patients: HM at the exact best threshold, AUC, patch accuracy."""
    validation = result.get("validation")
    if result["status"] != "done" or validation is None:
        return (0.0, 0.0, 0.0)
    return (validation["hm"], validation["auc"] or 0.0, validation["patch_accuracy"] or 0.0)


class CellSearch:
    """What to run next in one cell, from its trials in the ledger alone."""

    def __init__(self, cell: Cell, settings: SearchSettings, ledger: Ledger, seed: int, facts: dict[str, Any]) -> None:
        self.cell = cell
        self._settings, self._ledger, self._seed, self._facts = settings, ledger, seed, facts
        self._given_up: set[int] = set()
        self._running: set[int] = set()

    @property
    def best(self) -> Trial | None:
        """The best finished search trial; the earlier one on ties."""
        finished = [trial for trial in self._ledger.of(self.cell.name, "search") if trial.status == "done"]
        return max(finished, key=lambda trial: (objective(trial.result or {}), -trial.index), default=None)

    @property
    def searched(self) -> bool:
        """True once no search trial is left to run."""
        trials = self._ledger.of(self.cell.name, "search")
        return len(trials) >= self._settings.trials and all(map(self._over, trials))

    @property
    def finished(self) -> bool:
        """True once nothing is left to run."""
        if not self.searched:
            return False
        trials = self._ledger.of(self.cell.name, "confirm")
        return self.best is None or (len(trials) >= self._settings.repeats and all(map(self._over, trials)))

    @property
    def remaining(self) -> int:
        """Trials still to run, those running included."""
        started = self._ledger.trials.get(self.cell.name, [])
        planned = self._settings.trials + (self._settings.repeats if self.best or not self.searched else 0)
        return max(0, planned - sum(map(self._over, started)))

    @property
    def interrupted(self) -> bool:
        """True where an earlier start left a trial unfinished."""
        return any(trial.status == "running" for trial in self._ledger.trials.get(self.cell.name, []))

    def _over(self, trial: Trial) -> bool:
        return trial.settled or trial.index in self._given_up

    def next(self) -> Trial | None:
        """The next trial to start, or None where there is none at the moment."""
        trial = self._next()
        while trial is not None and self._ledger.begin(trial).settled:
            trial = self._next()  # it was finished behind our back, by a worker of a driver that was killed
        if trial is not None:
            self._running.add(trial.index)
        return trial

    def _next(self) -> Trial | None:
        waiting = [trial for trial in self._ledger.trials.get(self.cell.name, []) if not self._over(trial)]
        search = [trial for trial in waiting if trial.config["phase"] == "search"]
        if search:
            return search[0] if search[0].index not in self._running else None
        done = self._ledger.of(self.cell.name, "search")
        if len(done) < self._settings.trials:
            return self._suggest(len(done))
        best = self.best
        if best is None:
            return None
        confirm = self._ledger.of(self.cell.name, "confirm")
        for trial in confirm:
            if trial.config["source"] != best.index:
                self._ledger.supersede(trial)
        confirm = self._ledger.of(self.cell.name, "confirm")
        for trial in confirm:
            if not self._over(trial) and trial.index not in self._running:
                return trial
        if len(confirm) < self._settings.repeats:
            return self._confirm(best, len(confirm))
        return None

    def ended(self, trial: Trial, *, given_up: bool) -> None:
        """Take note that a trial no longer runs; what came of it is in the ledger.

        One that is not settled is given up for this run, if so told; the next start tries it again.
        """
        self._running.discard(trial.index)
        if given_up and not trial.settled:
            self._given_up.add(trial.index)

    def _suggest(self, number: int) -> Trial:
        space = self._space()
        if number == 0:
            chosen = {name: _middle(distribution) for name, distribution in space.items()}
        else:
            seed = zlib.crc32(f"{self._seed}/{self.cell.name}/{number}".encode())
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=4, multivariate=True)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            study.add_trials([seen for trial in self._earlier() for seen in self._seen(trial, space)])
            chosen = study.ask(dict(space)).params
        parameters = {"outer_lr": chosen["outer_lr"], "inner_lr": chosen.get("inner_lr"), "delta": chosen["delta"]}
        options = {name: chosen[name] for name in self._settings.options if name in chosen}
        return self._ledger.add(
            self.cell.name,
            self._facts | {"phase": "search", "seed": self._seed, "source": None, **parameters, "options": options},
        )

    def _confirm(self, best: Trial, repeat: int) -> Trial:
        kept = {name: best.config[name] for name in ("outer_lr", "inner_lr", "options")}
        return self._ledger.add(
            self.cell.name,
            # Fresh seeds: none equals the search's. The threshold is chosen anew on this run's validation patients.
            self._facts
            | {"phase": "confirm", "seed": self._seed + 1 + repeat, "source": best.index, "delta": None, **kept},
        )

    def _space(self) -> dict[str, BaseDistribution]:
        delta = FloatDistribution(*self._settings.delta)
        if self.cell.method == "train":
            return {"outer_lr": FloatDistribution(*self._settings.train_lr, log=True), "delta": delta}
        return {
            "outer_lr": FloatDistribution(*self._settings.outer_lr, log=True),
            "inner_lr": FloatDistribution(*self._settings.inner_lr, log=True),
            "delta": delta,
            **{name: CategoricalDistribution(choices) for name, choices in self._settings.options.items()},
        }

    def _earlier(self) -> list[Trial]:
        return [trial for trial in self._ledger.of(self.cell.name, "search") if trial.settled]

    def _seen(self, trial: Trial, space: dict[str, BaseDistribution]) -> list[FrozenTrial]:
        """What the sampler learns from a trial: HM at the threshold it suggested, and at the exact best one."""
        result = trial.result or {}
        facts = trial.config | trial.config["options"]
        parameters = {name: facts[name] for name in space}
        if result["status"] != "done" or result.get("validation") is None:
            return [_frozen(parameters, space, 0.0)]
        lowest, highest = self._settings.delta
        best = min(max(result["delta"], lowest), highest)
        curve = result["validation"]["curve"]

        def hm(delta: float) -> float:
            return float(next(hm for end, hm in zip(curve["delta"], curve["hm"], strict=True) if delta <= end))

        return [_frozen(parameters | {"delta": delta}, space, hm(delta)) for delta in (parameters["delta"], best)]


def _middle(distribution: BaseDistribution) -> Any:
    """The geometric middle of a rate's range, the middle of the threshold's, the first of a list of options."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    return math.sqrt(low * high) if distribution.log else (low + high) / 2


def _frozen(parameters: dict[str, Any], space: dict[str, BaseDistribution], value: float) -> FrozenTrial:
    return create_trial(params=parameters, distributions=dict(space), value=value)


class StudySearcher(Searcher):
    """Hands Ray Tune the next trial of the study: cells take turns, unfinished trials first.

    Args:
        cells: one search a cell.
        ledger: the study's.
        on_change: called after a trial has started or ended.
    """

    def __init__(self, cells: list[CellSearch], ledger: Ledger, on_change: Callable[[], None] = lambda: None) -> None:
        super().__init__()  # what a trial is worth is read from the ledger, not from its reports
        # What an earlier start left unfinished comes first; the sort is stable, so cells keep their order otherwise.
        self._cells = sorted(cells, key=lambda search: not search.interrupted)
        self._ledger, self._on_change = ledger, on_change
        self._turn = 0
        self.running: dict[str, tuple[CellSearch, Trial]] = {}
        self.stopping = False

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The configuration of the next trial; None while all that is left waits for a running one."""
        if self.stopping:
            return Searcher.FINISHED
        for offset in range(len(self._cells)):
            turn = (self._turn + offset) % len(self._cells)
            search = self._cells[turn]
            trial = search.next()
            if trial is not None:
                self._turn = turn + 1
                self.running[trial_id] = (search, trial)
                self._on_change()
                return {"folder": str(trial.folder), **trial.config}
        return None if any(not search.finished for search in self._cells) else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Read what the trial left in the ledger; one that left nothing after its last retry has failed."""
        search, trial = self.running.pop(trial_id)
        self._ledger.refresh(trial)
        if trial.result is None and not self.stopping:
            self._ledger.fail(trial)
        search.ended(trial, given_up=not self.stopping)
        self._on_change()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher to restore it later; the ledger does that here."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
