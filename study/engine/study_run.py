"""State of one start of a study: its plan, ledger, searches, budget and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console

from ledger.ledger import Ledger
from study.cluster.ray_cluster import Slots
from study.config.samplers import SHARED
from study.config.schema import StudyConfig
from study.grid.axes import Cell
from study.grid.chains import starts_from
from study.planning.budget import Budget
from study.planning.plan import PlannedCell, confirm_settings
from study.search.cell_search import CellSearch
from study.search.count_search import CountSearch, series, trained_beside
from study.search.landscape import write_landscapes
from study.search.prior import Observed
from study.search.sampler import search_space
from study.search.shared_model import SharedModel
from study.search.tune_searcher import Search
from study.trial.context import TrialContext


@dataclass(frozen=True)
class StudyRun:
    """A study whose cells are planned and whose ledger is held, on a machine or cluster that is connected."""

    config: StudyConfig
    ledger: Ledger
    plan: list[PlannedCell]
    """The cells that can be run."""
    slots: Slots
    context: TrialContext
    """What all trials share."""
    console: Console
    prior: Sequence[Observed] = ()
    """What another study found."""

    @cached_property
    def budget(self) -> Budget:
        """What this start may use; its hours begin when it is first asked for."""
        return Budget(self.config.budget, self.ledger, self.slots.gpus)

    @cached_property
    def searches(self) -> list[Search]:
        """One a cell; where image counts are searched, one for all counts of a setting."""
        planned = {entry.cell: entry for entry in self.plan}
        searches: dict[Cell, CellSearch] = {}

        def search(cell: Cell) -> CellSearch:
            if cell not in searches:
                after = [None if other is None else search(other) for other in starts_from(cell)]
                searches[cell] = self._search(planned[cell], after)
            return searches[cell]

        listed: list[Search] = [search(cell) for cell in planned if not cell.counted]
        counted = series([cell for cell in planned if cell.counted])
        for group in counted:
            trained = [search(cell) for cell in trained_beside(list(planned), group[0])]
            listed.append(CountSearch([search(cell) for cell in group], self.config.minimum, trained))
        return listed

    @cached_property
    def _shared(self) -> SharedModel | None:
        if self.config.search.sampler != SHARED:
            return None
        return SharedModel(self.ledger, [(entry.cell, entry.parameters) for entry in self.plan], self.prior)

    def write_landscapes(self) -> None:
        """Write what the model of all cells has learned, where the study has one, for its page."""
        if self._shared is not None:
            spaces = (
                (entry.cell, search_space(self.config.search, entry.cell.method, fixed_delta=True))
                for entry in self.plan
            )
            write_landscapes(self.ledger.folder, self._shared, spaces)

    def _search(self, entry: PlannedCell, after: list[CellSearch | None]) -> CellSearch:
        config, cell = self.config, entry.cell
        return CellSearch(
            cell,
            config.search,
            confirm_settings(config, cell),
            self.ledger,
            seed=config.seed,
            parameters=entry.parameters,
            protocol=config.protocol,
            task=config.task,
            after=after,
            rungs=entry.rungs,
            shared=self._shared,
        )
