"""Search of one cell: its search trials, then confirm trials of the best setting.

``search.trials`` trials suggest rates and threshold, scored on validation patients; ``confirm.repeats`` trials then run
the best setting, or the middle of the ranges where none is searched, on fresh seeds, scored once on test patients. A
cell runs one search trial at a time unless told otherwise (``search.parallel``), so what trial i knows never depends on
timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from ledger.ledger import Ledger
from ledger.trial import Trial
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.config.tasks import TASKS
from study.grid.axes import Cell
from study.grid.protocol import Protocol, fixed_delta
from study.grid.spec import TrialSpec
from study.search.cell_state import CellState
from study.search.sampler import middle, score_of, search_space, suggest
from study.search.shared_model import SharedModel
from study.search.trial_record import TrialRecord
from study.trial.early_stopping import stop_below


class CellSearch:
    """Decides the next trial of one cell, from its state alone, which is read from the ledger.

    Args:
        parameters: of its network, for the records.
        rungs: steps at which its search trials wait for each other; none unless the study's pruner has some.
        shared: what suggests trials and says which is best, where it is no sampler of the cell's own.
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
        task: str = "patches",
        protocol: Protocol = "validation",
        parameters: int | None = None,
        after: Sequence[CellSearch | None] = (),
        rungs: Sequence[int] = (),
        shared: SharedModel | None = None,
    ) -> None:
        self.cell, self._after = cell, after
        self._search, self._repeats, self._ledger, self._seed = search, confirm.repeats, ledger, seed
        self._shared, self._rungs = shared, list(rungs)
        self._preferred: dict[int, int | None] = {}
        """By the number of its search trials, the one that the shared model calls best."""
        self._delta = fixed_delta(protocol)
        self._score = score_of(search, protocol)
        self._spec = partial(TrialSpec, cell, score=self._score, parameters=parameters, protocol=protocol, task=task)
        self.task = TASKS[task]
        one_delta = self._delta is not None or not self.task.searches_delta
        self._space = search_space(search, cell.method, fixed_delta=one_delta)
        self._given_up: set[int] = set()
        self._running: set[int] = set()
        self._records: dict[int, TrialRecord] = {}
        self.neighbour: CellSearch | None = None
        """A finished cell of another image count, whose best setting stands for half of this one's search."""

    @property
    def state(self) -> CellState:
        """The cell's current state, from its trials in the ledger."""
        sources = [_possible_sources(earlier) for earlier in self._after]
        records = [self._record(trial) for trial in self._ledger.trials.get(self.cell.name, [])]
        state = CellState(records, self._trials, self._repeats, sources, self._given_up)
        return state if self._shared is None else self._with_preference(state, self._shared)

    def _with_preference(self, state: CellState, shared: SharedModel) -> CellState:
        """The state with the trial that the model calls best, once its search is done.

        What was confirmed stays so, whatever other cells teach the model since, until the search goes on.
        """
        searched = state.of("search")
        if not state.searched:
            return state
        confirming = [record for record in state.of("confirm") if record.index > searched[-1].index]
        if confirming:
            return replace(state, preferred=confirming[-1].source)
        if len(searched) not in self._preferred:
            self._preferred[len(searched)] = shared.best(self.cell, self._space)
        return replace(state, preferred=self._preferred[len(searched)])

    def _record(self, trial: Trial) -> TrialRecord:
        known = self._records.get(trial.index)
        if known is None or not known.settled or known.status != trial.status:  # what is done stays as it is
            known = self._records[trial.index] = TrialRecord.of(trial)
        return known

    def _trial(self, record: TrialRecord) -> Trial:
        return next(trial for trial in self._ledger.trials[self.cell.name] if trial.index == record.index)

    @property
    def _trials(self) -> int:
        """Search trials that this cell gets."""
        most = self._affordable
        if self.neighbour is None or self.neighbour.state.best is None:
            return most
        return min(most, self._search.warm_trials or max(2, (self._search.trials + 1) // 2))

    @property
    def _affordable(self) -> int:
        """Search trials that the budget allows: ``search.trials``, or fewer where those that have ended have spent
        ``search.core_seconds``."""
        most, budget = self._search.trials, self._search.core_seconds
        if not budget:
            return most
        spent = 0.0
        for number, trial in enumerate(self._ledger.of(self.cell.name, "search"), 1):
            known = (trial.result or {}).get("core_seconds")
            spent += known if isinstance(known, int | float) else trial.seconds or 0.0
            if trial.settled and spent >= budget:
                return min(number, most)
        return most

    @property
    def full(self) -> int:
        """Trials that it would get without a neighbour to begin from."""
        return self._search.trials + self._repeats

    @property
    def confirmed(self) -> list[Trial]:
        """Confirm trials with a result on test patients."""
        return list(map(self._trial, self.state.confirmed))

    @property
    def finished(self) -> bool:
        """True once nothing is left to run."""
        return self.state.finished

    @property
    def interrupted(self) -> bool:
        """True where an earlier start left a trial unfinished."""
        return self.state.interrupted

    @property
    def may_grow(self) -> bool:
        """No: its trials are counted beforehand."""
        return False

    @property
    def waiting(self) -> list[CellSearch]:
        """This cell, while it has trials left to run."""
        return [] if self.finished else [self]

    def next(self, *, new: bool = True) -> Trial | None:
        """The next trial to start, or None where there is none at the moment; not ``new``: of those begun before."""
        trial = self._next(new)
        while trial is not None and self._ledger.begin(trial).settled:
            trial = self._next(new)  # it was finished behind our back, by a worker of a driver that was killed
        if trial is not None:
            self._running.add(trial.index)
        return trial

    def _next(self, new: bool) -> Trial | None:
        state = self.state
        if state.early or state.stranded:
            return None
        if state.outdated:
            state = self._without(state.outdated)
        search = state.of("search")
        unfinished = [record for record in search if not state.over(record)]
        begun = [record for record in unfinished if record not in state.promoted]
        if waiting := [record for record in begun if record.index not in self._running]:
            return self._trial(waiting[0])
        if len(search) < state.trials:
            full = len(begun) >= self._search.parallel
            return self._suggest(state.free_number, state.starts_from) if new and not full else None
        if state.promoted and len(begun) < self._search.parallel:
            return self._take_up(state.promoted[0])
        if unfinished:
            return None
        if state.nothing_to_confirm:
            return None
        if overtaken := [record for record in state.of("confirm") if record not in state.confirming]:
            state = self._without(overtaken)
        for record in state.confirming:
            if not state.over(record) and record.index not in self._running:
                return self._trial(record)
        if len(state.confirming) < state.repeats and new:
            return self._confirm(state.best, state.starts_from)
        return None

    def _take_up(self, record: TrialRecord) -> Trial:
        """The trial that waits at its rung, about to go on from there."""
        trial = self._trial(record)
        self._ledger.take_up(trial, record.rung_scores)
        del self._records[record.index]
        return trial

    def _without(self, records: Sequence[TrialRecord]) -> CellState:
        """Move trials that were overtaken aside; what is left."""
        for record in records:
            self._ledger.supersede(self._trial(record))
        return self.state

    def ended(self, trial: Trial, *, given_up: bool) -> None:
        """Note that a trial no longer runs; its result is in the ledger.

        One that is not settled is given up for this run, if so told; the next start tries it again.
        """
        self._running.discard(trial.index)
        if given_up and not trial.settled:
            self._given_up.add(trial.index)

    def _suggest(self, number: int, starts_from: list[str | None]) -> Trial:
        """Add search trial ``number`` to the ledger, with the settings that are suggested for it."""
        earlier = [trial for trial in self._ledger.of(self.cell.name, "search") if trial.settled]
        chosen = self._suggested_settings(number, earlier)
        spec = self._spec(
            phase="search",
            seed=self._seed,
            outer_lr=chosen["outer_lr"],
            inner_lr=chosen.get("inner_lr"),
            delta=chosen.get("delta", self._delta),
            options={name: chosen[name] for name in self._search.options if name in chosen},
            stop_below=stop_below(earlier, self._search, partial(self.task.compared, score=self._score, prefix="val_")),
            rungs=self._rungs,
            starts_from=starts_from,
            number=number,
        )
        return self._ledger.add(self.cell.name, spec.to_json())

    def _suggested_settings(self, number: int, earlier: Sequence[Trial]) -> dict[str, Any]:
        """Settings for search trial ``number``, by name.

        They are the shared model's, where there is one and it has enough to learn from. Else the first trial takes the
        middle of the ranges, the second the neighbouring cell's best setting where that shortens the search, and all
        others what Optuna's sampler suggests.

        Args:
            earlier: the cell's search trials that are settled.
        """
        name = f"{self._seed}/{self.cell.name}/{number}"
        if self._shared is not None:
            suggested = self._shared.suggest(name, self.cell, self._space)
            if suggested is not None:
                return suggested
        if number == 0:
            return middle(self._space)
        if number == 1 and (best := self._neighbours_best()):
            return best
        running = [trial for trial in self._ledger.of(self.cell.name, "search") if not trial.settled]
        return suggest(name, self._space, earlier, self._search.sampler, running)

    def _neighbours_best(self) -> dict[str, Any]:
        """Best setting of the neighbouring cell, where it shortens the search and is not tried anyway; else empty.

        A search that is not shortened is the full grid's own, trial by trial.
        """
        state = self.neighbour.state if self.neighbour else None
        if self.neighbour is None or state is None or state.best is None or state.middle_is_best:
            return {}
        if self._trials == self._search.trials:
            return {}
        return TrialSpec.of(self.neighbour._trial(state.best)).parameters_in(self._space)

    def _confirm(self, best: TrialRecord | None, starts_from: list[str | None]) -> Trial:
        chosen = middle(self._space) if best is None else TrialSpec.of(self._trial(best)).settings
        taken = {TrialSpec.of(trial).seed for trial in self._ledger.of(self.cell.name, "confirm")}
        spec = self._spec(
            phase="confirm",
            seed=next(seed for seed in count(self._seed + 1) if seed not in taken),  # none equals the search's
            outer_lr=chosen["outer_lr"],
            inner_lr=chosen.get("inner_lr"),
            delta=self._delta,  # where it is not fixed, it is chosen anew on this run's validation patients
            options={name: chosen[name] for name in self._search.options if name in chosen},
            source=None if best is None else best.index,
            starts_from=starts_from,
        )
        return self._ledger.add(self.cell.name, spec.to_json())


def _possible_sources(earlier: CellSearch | None) -> list[str | None] | None:
    """Names of the trials whose network a cell may start from: those that the cell before has confirmed, or None until
    it is finished. A body that starts pretrained has no cell before it: ``[None]``."""
    if earlier is None:
        return [None]
    state = earlier.state
    if not state.finished:
        return None
    return [record.name for record in state.confirmed]
