"""Search over image counts: which count of a setting to run next, instead of running a list.

The counts of one backbone and setting wait for each other: the largest first, for what is best, then from the smallest
up, until the smallest that suffices is known (``analysis.stats.counts``): by its mean beside that of ordinary training
of the same network, which is waited for where the study has it, or else by the papers' rule. These are the answer's own
numbers, confirm trials on test patients, applied as they come in: they decide which counts are run, and nothing about
how a network is trained or where its threshold lies. The answer's intervals may leave open what means decide.

A long search is cut to half: its first trial is the middle of every range, as in the full grid, so that one lucky
setting is not handed from count to count; its second takes what was best at the nearest count known to suffice (what a
count at chance likes best is noise).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from analysis.records.rule import Rule
from analysis.stats.counts import next_count, suffices
from ledger.trial import Trial
from study.grid.axes import Cell
from study.search.cell_search import CellSearch


class CountSearch:
    """The cells of one backbone and setting, one image count at a time.

    Args:
        cells: those of every count that can be run; one a fold of a count where folds rotate.
        rule: what makes a count sufficient.
        trained: cells of the ordinary training that counts are held against; one a fold where folds rotate.
    """

    def __init__(self, cells: Sequence[CellSearch], rule: Rule, trained: Sequence[CellSearch] = ()) -> None:
        self._rule, self._trained = rule, trained
        self._cells: dict[int, dict[int | None, CellSearch]] = defaultdict(dict)
        for search in sorted(cells, key=lambda search: search.cell.images or 0):
            assert search.cell.images is not None
            self._cells[search.cell.images][search.cell.fold] = search
        self._open: list[CellSearch] = []
        self._hms: dict[tuple[str, ...], float | None] = {}
        """HM by the confirm trials that it is the mean of."""
        self._advance()

    def _advance(self) -> None:
        """Find the cells whose turn it is, replaying the counts that are done.

        What a cell knows depends on these alone, not on when they were done.
        """
        known: dict[int, float | None] = {}
        reference = _mean_score(self._trained)
        if reference is not None and reference < self._rule.floor:
            reference = None  # training that does not learn is nothing to come close to
        while True:
            done = {other: hm for other, hm in known.items() if hm is not None}
            if done and not all(search.finished for search in self._trained):
                self._open = list(self._cells[max(done)].values())
                return  # nothing more to run, and not finished: what comes next depends on ordinary training
            count = next_count(known, list(self._cells), self._rule.margin, self._rule.floor, reference)
            if count is None:
                self._open = []
                return
            best = max(done.values(), default=0.0) if reference is None else reference
            good = [other for other, hm in done.items() if suffices(hm, best, self._rule.margin)]
            nearest = min(good, key=lambda other: abs(other - count), default=None)
            for fold, search in self._cells[count].items():
                search.neighbour = None if nearest is None else self._cells[nearest][fold]
            if not all(search.finished for search in self._cells[count].values()):
                self._open = list(self._cells[count].values())
                return
            known[count] = self.hm(count)

    def hm(self, count: int) -> float | None:
        """HM of a count: the mean over seeds, each pooled over its folds; None where no seed has all of its folds."""
        searches = list(self._cells[count].values())
        names = tuple(record.name for search in searches for record in search.state.confirmed)
        if names not in self._hms:  # what is done stays as it is
            self._hms[names] = _mean_score(searches)
        return self._hms[names]

    @property
    def finished(self) -> bool:
        """True once the answer is known, or cannot be."""
        return not self._open

    @property
    def waiting(self) -> list[CellSearch]:
        """The cells that have trials left to run, as far as can be told before their results are in."""
        return self._open

    @property
    def may_grow(self) -> bool:
        """Whether results may ask for trials of other counts."""
        return any(not search.state.records and search not in self._open for search in self._all) and not self.finished

    @property
    def interrupted(self) -> bool:
        """True where an earlier start left a trial unfinished."""
        return any(search.interrupted for search in self._open)

    @property
    def _all(self) -> list[CellSearch]:
        return [search for folds in self._cells.values() for search in folds.values()]

    @property
    def spared(self) -> list[CellSearch]:
        """The cells that the answer does not need."""
        return [search for search in self._all if not search.state.records and search not in self._open]

    @property
    def spared_trials(self) -> int:
        """Trials that the full grid would have run and this did not: of counts not needed, and of shorter searches.

        With ``search.core_seconds`` at most so many: what they would have bought is not known.
        """
        begun = [(search.full, search.state) for search in self._all]
        shorter = [full - len(state.records) - state.remaining for full, state in begun if state.records]
        return sum(max(0, trials) for trials in shorter) + sum(search.full for search in self.spared)

    @property
    def seconds(self) -> float:
        """Mean seconds of the trials that have ended."""
        ended = [seconds for search in self._all for seconds in search.state.seconds]
        return sum(ended) / len(ended) if ended else 0.0

    def next(self, *, new: bool = True) -> Trial | None:
        """The next trial to start, or None where there is none at the moment; not ``new``: of those begun before."""
        while True:
            trial = next(filter(None, (search.next(new=new) for search in self._open)), None)
            # A worker of a driver that was killed may have finished the last one behind our back.
            before = self._open
            if trial is not None or before == []:
                return trial
            self._advance()
            if self._open == before:
                return None

    def ended(self, trial: Trial, *, given_up: bool) -> None:
        """Take note that a trial no longer runs."""
        (search,) = (search for search in self._all if search.cell.name == trial.cell)
        search.ended(trial, given_up=given_up)
        self._advance()


def _mean_score(searches: Sequence[CellSearch]) -> float | None:
    """The mean over seeds of a cell, each pooled over its folds; None where no seed has all of its folds."""
    if not searches:
        return None
    confirmed = [trial for search in searches for trial in search.confirmed]
    scores = searches[0].task.run_scores(confirmed, folds=len(searches))
    return sum(scores) / len(scores) if scores else None


def series(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that differ in image count and fold only, together."""
    groups: dict[Cell, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[replace(cell, images=None, fold=None)].append(cell)
    return list(groups.values())
