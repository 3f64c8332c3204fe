"""Record of a trial, as the search of its cell needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.trial import Trial
from study.config.tasks import TASKS
from study.grid.spec import Phase, TrialSpec


@dataclass(frozen=True)
class TrialRecord:
    """Record of one trial, as its cell's search needs it.

    Attributes:
        source: of a confirm trial, the index of the search trial whose settings it runs.
        starts_from: names of the trials whose networks it starts from; None for a body that starts pretrained.
        worth: how good a finished trial is on validation patients, as of ``Task.worth``.
        tested: whether it has a result on test patients.
        seconds: what it took, where it has ended.
        rung: at which it waits, counted from 1; None where it runs or has run to its end.
        rungs: how many there are.
        taken_up: its scores by the rungs from which it has gone on.
        rung_scores: by all rungs that it has been at.
        number: of a search trial, counted from 0 in its cell; None in older studies.
    """

    index: int
    name: str
    phase: Phase
    status: str
    source: int | None = None
    starts_from: Sequence[str | None] = ()
    worth: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tested: bool = False
    seconds: float | None = None
    rung: int | None = None
    rungs: int = 0
    taken_up: Sequence[float] = ()
    rung_scores: Sequence[float] = ()
    number: int | None = None

    @classmethod
    def of(cls, trial: Trial) -> TrialRecord:
        """Record of a trial in the ledger, as it is now."""
        spec, result = TrialSpec.of(trial), trial.result or {}
        rung = result.get("rung")
        scores = spec.taken_up
        if rung is not None:
            reached = [TASKS[spec.task].compared(entry, spec.score, "val_") for entry in result["history"]]
            scores = [*spec.taken_up[: rung - 1], max(reached, default=0.0)]
        return cls(
            trial.index,
            trial.name,
            spec.phase,
            trial.status,
            source=spec.source,
            starts_from=spec.starts_from,
            worth=TASKS[spec.task].worth(result, spec.score) if trial.status == "done" else (0.0, 0.0, 0.0),
            tested=bool(result.get("test")),
            seconds=trial.seconds,
            rung=rung,
            rungs=len(spec.rungs),
            taken_up=spec.taken_up,
            rung_scores=scores,
            number=spec.number,
        )

    @property
    def settled(self) -> bool:
        """True where the same command must not run it again."""
        return self.status in ("done", "diverged")
