"""State of a cell, from its trials: which are done, the best, what is left to run."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from study.grid.spec import Phase
from study.search.halving import promoted
from study.search.trial_record import TrialRecord


@dataclass(frozen=True)
class CellState:
    """A cell at one moment: a function of its trials' records, and of those of the cells that it starts from.

    Attributes:
        records: of its trials, oldest first.
        trials, repeats: search and confirm trials that it gets.
        sources: for each network that its trials start from, names of the trials that may give it; None while their
            cell is not done, ``[None]`` for a body that starts pretrained.
        given_up: indices of trials that this start of the study does not try again.
        preferred: index of the search trial that is best by more than its own score; None for the highest score.

    A cell that gets no search trials confirms the middle of the ranges: its confirm trials have no source. The first
    search trial of a longer search takes that middle, too, and where it is best they confirm it.
    """

    records: Sequence[TrialRecord]
    trials: int
    repeats: int
    sources: Sequence[Sequence[str | None] | None] = ()
    given_up: AbstractSet[int] = frozenset()
    preferred: int | None = None

    def of(self, phase: Phase) -> list[TrialRecord]:
        """Trials of a phase, oldest first."""
        return [record for record in self.records if record.phase == phase]

    @cached_property
    def numbers(self) -> dict[int, int]:
        """By the indices of search trials, their numbers; of older studies' trials, their places."""
        search = enumerate(self.of("search"))
        return {record.index: place if record.number is None else record.number for place, record in search}

    @property
    def free_number(self) -> int:
        """Number of the next search trial: one that was lost is made up for, and no other is repeated."""
        return next(number for number in count() if number not in self.numbers.values())

    def over(self, record: TrialRecord) -> bool:
        """True where a trial is not to run again."""
        return (record.settled and record not in self.promoted) or record.index in self.given_up

    @cached_property
    def promoted(self) -> list[TrialRecord]:
        """Search trials that are to go on from the rung at which they wait."""
        search = self.of("search")
        kept = [record for record in search if record.index not in self.given_up]
        return promoted(kept, self.trials - len(search) + len(kept))

    @property
    def early(self) -> bool:
        """True while a cell that this one starts from is not done."""
        return any(names is None for names in self.sources)

    @property
    def stranded(self) -> bool:
        """True where such a cell is done and has left no network."""
        return any(names is not None and not names for names in self.sources)

    @cached_property
    def outdated(self) -> list[TrialRecord]:
        """Trials that began from a network which a longer search of the cell before has overtaken since."""
        if not self.sources or self.early or self.stranded:
            return []
        return [
            record
            for record in self.records
            if any(name not in (names or ()) for name, names in zip(record.starts_from, self.sources, strict=True))
        ]

    @property
    def starts_from(self) -> list[str | None]:
        """The trials whose networks this cell's start from: the same for all, whatever is confirmed meanwhile."""
        if self.records:
            return list(self.records[0].starts_from)
        return [names[0] for names in self.sources if names]

    @cached_property
    def best(self) -> TrialRecord | None:
        """The best finished search trial, before those that wait at a rung; the earlier one on ties."""
        finished = [record for record in self.of("search") if record.status == "done"]
        return max(
            finished,
            key=lambda record: (record.index == self.preferred, record.rung is None, record.worth, -record.index),
            default=None,
        )

    @cached_property
    def searched(self) -> bool:
        """True once no search trial is left to run."""
        search = self.of("search")
        return len(search) >= self.trials and all(map(self.over, search))

    @property
    def middle_is_best(self) -> bool:
        """True where no search trial is better than the first, which takes the middle of the ranges (or what a shared
        model suggests, by which no cell goes without a search)."""
        return self.best is None or self.numbers[self.best.index] == 0

    @property
    def nothing_to_confirm(self) -> bool:
        """True while no search trial has a result, though there are to be some."""
        return self.best is None and self.trials > 0

    @cached_property
    def confirming(self) -> list[TrialRecord]:
        """Confirm trials of what is best now; those of a setting that was overtaken are none."""
        if self.nothing_to_confirm:
            return []
        best = None if self.best is None else self.best.index
        sources = (best, None) if self.middle_is_best else (best,)
        return [record for record in self.of("confirm") if record.source in sources]

    @property
    def confirmed(self) -> list[TrialRecord]:
        """Confirm trials with a result on test patients."""
        return [record for record in self.confirming if record.status == "done" and record.tested]

    @cached_property
    def finished(self) -> bool:
        """True once nothing is left to run."""
        if self.stranded:
            return True
        if self.early or self.outdated or not self.searched:
            return False
        if self.nothing_to_confirm:
            return True
        return len(self.confirming) >= self.repeats and all(map(self.over, self.confirming))

    @property
    def remaining(self) -> int:
        """Trials still to run, those running included."""
        return self.remaining_of("search") + self.remaining_of("confirm")

    def remaining_of(self, phase: Phase) -> int:
        """Trials of a phase still to run, those running included."""
        if self.stranded or (phase == "confirm" and self.searched and self.nothing_to_confirm):
            return 0
        planned, begun = (self.trials, self.of(phase)) if phase == "search" else (self.repeats, self.confirming)
        return max(0, planned - sum(map(self.over, begun)))

    @property
    def interrupted(self) -> bool:
        """True where an earlier start left a trial unfinished."""
        return any(record.status == "running" for record in self.records)

    @property
    def seconds(self) -> list[float]:
        """Seconds of the trials that have ended."""
        return [record.seconds for record in self.records if record.seconds]
