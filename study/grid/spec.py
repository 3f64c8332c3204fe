"""Specification of a trial: its cell, the settings that its search chose for it, and the trials it starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from ledger.trial import Trial
from sldd.distillation.image_learner import DistillSettings
from study.grid.axes import Cell
from study.grid.protocol import Protocol

Phase = Literal["search", "confirm"]
Score = Literal["smooth", "headline"]


@dataclass(frozen=True)
class TrialSpec:
    """Specification of a trial; with the study's configuration, it determines the result.

    Attributes:
        inner_lr: None for a method without inner steps.
        delta: the threshold that a search trial is to try, or the fixed one; None where it is chosen after training.
        options: settings of ``distill`` that the search chose.
        source: of a confirm trial, the index of the search trial whose settings it runs.
        stop_below: as of ``study.trial.early_stopping.stop_below``; empty where nothing stops it.
        rungs: steps at which it waits to be taken up again; empty where it does not.
        taken_up: its best score by each rung from which it was.
        starts_from: names of the trials whose networks it starts from; None for a body that starts pretrained.
        number: of a search trial, counted from 0 in its cell: what it tries follows from it. Older ones have none.
        score: what search trials of its cell are compared by.
        parameters, protocol, task: what its records say of it, besides.
    """

    cell: Cell
    phase: Phase
    seed: int
    outer_lr: float
    inner_lr: float | None = None
    delta: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    source: int | None = None
    stop_below: list[list[float]] = field(default_factory=list)
    rungs: list[int] = field(default_factory=list)
    taken_up: list[float] = field(default_factory=list)
    starts_from: list[str | None] = field(default_factory=list)
    number: int | None = None
    score: Score = "headline"
    parameters: int | None = None
    protocol: Protocol = "validation"
    task: str = "patches"

    def to_json(self) -> dict[str, Any]:
        """Content for ``config.json``: flat, the cell's fields beside the trial's own."""
        own = {name: getattr(self, name) for name in _OWN}
        return asdict(self.cell) | own

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> TrialSpec:
        """Specification from a ``config.json``, whose other entries are the ledger's; older ones get defaults."""
        cell = {name: config[name] for name in _CELL if name in config}
        own = {name: config[name] for name in _OWN if name in config}
        return cls(Cell(**cell | {"chain": tuple(cell.get("chain", ()))}), **own)

    @property
    def until(self) -> int | None:
        """The step of the rung that it runs to; None where it runs to its end."""
        return next(iter(self.rungs[len(self.taken_up) :]), None)

    @property
    def settings(self) -> dict[str, Any]:
        """Rates and options by name: what a search chose, the threshold left out."""
        rates = {"outer_lr": self.outer_lr} | ({} if self.inner_lr is None else {"inner_lr": self.inner_lr})
        return rates | dict(self.options)

    def distill(self, settings: DistillSettings) -> DistillSettings:
        """A study's ``distill``, with what the search chose."""
        return replace(settings, **self.options)

    @classmethod
    def of(cls, trial: Trial) -> TrialSpec:
        """Specification of a trial in the ledger."""
        return cls.from_json(trial.config)

    def parameters_in(self, space: Iterable[str]) -> dict[str, Any]:
        """Values of what is searched, by name: rates, threshold and options."""
        return {name: self.options[name] if name in self.options else getattr(self, name) for name in space}


_CELL = [each.name for each in fields(Cell)]
_OWN = [each.name for each in fields(TrialSpec) if each.name != "cell"]
