"""The trials of one cell: those of its search, then those that confirm what came out best.

``search.trials`` trials suggest rates and threshold, scored on validation patients; ``confirm.repeats`` trials then run
the best setting on fresh seeds, scored once on test patients. A cell runs one search trial at a time, so what trial i
knows never depends on timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ledger.ledger import Ledger, Trial
from sldd.ops.types import TaskName
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.grid.axes import Cell
from study.grid.protocol import Protocol, fixed_delta
from study.grid.scores import objective
from study.search.sampler import middle, search_space, suggest
from study.trial.early_stopping import stop_below
from study.trial.spec import TrialSpec


class CellSearch:
    """What to run next in one cell, from its trials in the ledger alone.

    Args:
        parameters: of its network, for the records.
        after: cells whose first confirmed network this one's trials start from; None for a body that starts pretrained.
    """

    def __init__(
        self,
        cell: Cell,
        search: SearchSettings,
        confirm: ConfirmSettings,
        ledger: Ledger,
        *,
        seed: int,
        task: TaskName = "patches",
        protocol: Protocol = "validation",
        parameters: int | None = None,
        after: Sequence[CellSearch | None] = (),
    ) -> None:
        self.cell, self._after = cell, after
        self._search, self._repeats, self._ledger, self._seed = search, confirm.repeats, ledger, seed
        self._delta = fixed_delta(protocol)
        self._spec = partial(TrialSpec, cell, parameters=parameters, protocol=protocol, task=task)
        one_delta = self._delta is not None or task == "multilabel"
        self._space = search_space(search, cell.method, fixed_delta=one_delta)
        self._given_up: set[int] = set()
        self._running: set[int] = set()
        self._worths: dict[int, tuple[float, float, float]] = {}
        self.neighbour: CellSearch | None = None
        """A finished cell of another image count, whose best setting stands for half of this one's search."""

    @property
    def _early(self) -> bool:
        """True while a cell that this one starts from is not done."""
        return any(other is not None and not other.finished for other in self._after)

    @property
    def _stranded(self) -> bool:
        """True where such a cell is done and has left no network."""
        return any(other is not None and other.finished and not other.confirmed for other in self._after)

    @property
    def _outdated(self) -> list[Trial]:
        """Trials that began from a network which a longer search of the cell before has overtaken since."""
        if not self._after or self._early or self._stranded:
            return []
        there = [{None} if other is None else {t.name for t in other.confirmed} for other in self._after]
        trials = self._ledger.trials.get(self.cell.name, [])
        return [
            trial
            for trial in trials
            if not all(name in known for name, known in zip(TrialSpec.of(trial).starts_from, there, strict=True))
        ]

    @property
    def _starts(self) -> list[str | None]:
        """The trials whose networks this cell's start from: the same for all, whatever is confirmed meanwhile."""
        for trial in self._ledger.trials.get(self.cell.name, []):
            return TrialSpec.of(trial).starts_from
        return [None if other is None else other.confirmed[0].name for other in self._after]

    @property
    def trials(self) -> int:
        """Search trials that this cell gets."""
        if self.neighbour is None or self.neighbour.best is None:
            return self._search.trials
        return min(self._search.trials, self._search.warm_trials or max(2, (self._search.trials + 1) // 2))

    @property
    def best(self) -> Trial | None:
        """The best finished search trial; the earlier one on ties."""
        finished = [trial for trial in self._ledger.of(self.cell.name, "search") if trial.status == "done"]
        return max(finished, key=lambda trial: (self._worth(trial), -trial.index), default=None)

    def _worth(self, trial: Trial) -> tuple[float, float, float]:
        if trial.index not in self._worths:  # what is done stays as it is
            self._worths[trial.index] = objective(trial.result or {})
        return self._worths[trial.index]

    @property
    def searched(self) -> bool:
        """True once no search trial is left to run."""
        trials = self._ledger.of(self.cell.name, "search")
        return len(trials) >= self.trials and all(map(self._over, trials))

    @property
    def finished(self) -> bool:
        """True once nothing is left to run."""
        if self._stranded:
            return True
        if self._early or self._outdated or not self.searched:
            return False
        trials = self._confirming
        return self.best is None or (len(trials) >= self._repeats and all(map(self._over, trials)))

    @property
    def _confirming(self) -> list[Trial]:
        """Confirm trials of what is best now; those of a setting that was overtaken are none."""
        best = self.best
        trials = self._ledger.of(self.cell.name, "confirm")
        return [trial for trial in trials if best is not None and TrialSpec.of(trial).source == best.index]

    @property
    def remaining(self) -> int:
        """Trials still to run, those running included."""
        if self._stranded:
            return 0
        started = self._ledger.trials.get(self.cell.name, [])
        planned = self.planned if self.best or not self.searched else self.trials
        return max(0, planned - sum(map(self._over, started)))

    @property
    def planned(self) -> int:
        """Trials that this cell gets."""
        return self.trials + self._repeats

    @property
    def full(self) -> int:
        """Trials that it would get without a neighbour to begin from."""
        return self._search.trials + self._repeats

    @property
    def seconds(self) -> list[float]:
        """What its trials took, of those that have ended."""
        return [trial.seconds for trial in self._ledger.trials.get(self.cell.name, []) if trial.seconds]

    @property
    def interrupted(self) -> bool:
        """True where an earlier start left a trial unfinished."""
        return any(trial.status == "running" for trial in self._ledger.trials.get(self.cell.name, []))

    @property
    def waiting(self) -> list[CellSearch]:
        """This cell, while it has trials left to run."""
        return [] if self.finished else [self]

    @property
    def started(self) -> int:
        """Trials that were started, those that have ended included."""
        return len(self._ledger.trials.get(self.cell.name, []))

    @property
    def confirmed(self) -> list[Trial]:
        """Confirm trials with a result on test patients."""
        return [trial for trial in self._confirming if trial.status == "done" and (trial.result or {}).get("test")]

    def _over(self, trial: Trial) -> bool:
        return trial.settled or trial.index in self._given_up

    def next(self, *, new: bool = True) -> Trial | None:
        """The next trial to start, or None where there is none at the moment; not ``new``: of those begun before."""
        trial = self._next(new)
        while trial is not None and self._ledger.begin(trial).settled:
            trial = self._next(new)  # it was finished behind our back, by a worker of a driver that was killed
        if trial is not None:
            self._running.add(trial.index)
        return trial

    def _next(self, new: bool) -> Trial | None:
        if self._early or self._stranded:
            return None
        for trial in self._outdated:
            self._ledger.supersede(trial)
        waiting = [trial for trial in self._ledger.trials.get(self.cell.name, []) if not self._over(trial)]
        search = [trial for trial in waiting if trial.phase == "search"]
        if search:
            return search[0] if search[0].index not in self._running else None
        done = self._ledger.of(self.cell.name, "search")
        if len(done) < self.trials:
            return self._suggest(len(done)) if new else None
        best = self.best
        if best is None:
            return None
        for trial in self._ledger.of(self.cell.name, "confirm"):
            if TrialSpec.of(trial).source != best.index:
                self._ledger.supersede(trial)
        confirm = self._confirming
        for trial in confirm:
            if not self._over(trial) and trial.index not in self._running:
                return trial
        if len(confirm) < self._repeats and new:
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
        earlier = [trial for trial in self._ledger.of(self.cell.name, "search") if trial.settled]
        known = self._known() if number == 1 else {}
        if number == 0:
            chosen = middle(self._space)
        elif known:
            chosen = known
        else:
            name = f"{self._seed}/{self.cell.name}/{number}"
            chosen = suggest(name, self._space, earlier, self._search.sampler)
        spec = self._spec(
            phase="search",
            seed=self._seed,
            outer_lr=chosen["outer_lr"],
            inner_lr=chosen.get("inner_lr"),
            delta=chosen.get("delta", self._delta),
            options={name: chosen[name] for name in self._search.options if name in chosen},
            stop_below=stop_below(earlier, self._search),
            starts_from=self._starts,
        )
        return self._ledger.add(self.cell.name, spec.to_json())

    def _known(self) -> dict[str, Any]:
        """What was best in the neighbouring cell, where it spares a part of the search and is not tried anyway.

        A search that is not shortened is the full grid's own, trial by trial.
        """
        best = self.neighbour.best if self.neighbour else None
        if best is None or best.index == 0 or self.trials == self._search.trials:
            return {}
        return TrialSpec.of(best).parameters_in(self._space)

    def _confirm(self, best: Trial, repeat: int) -> Trial:
        best_spec = TrialSpec.of(best)
        spec = self._spec(
            phase="confirm",
            seed=self._seed + 1 + repeat,  # fresh: none equals the search's
            outer_lr=best_spec.outer_lr,
            inner_lr=best_spec.inner_lr,
            delta=self._delta,  # where it is not fixed, it is chosen anew on this run's validation patients
            options=best_spec.options,
            source=best.index,
            starts_from=self._starts,
        )
        return self._ledger.add(self.cell.name, spec.to_json())
