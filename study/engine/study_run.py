"""State of one start of a study: its plan, ledger, searches, budget and machines."""

from __future__ import annotations

from collections import defaultdict
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
from study.grid.ordinary_training import trained_beside, trains_on_all
from study.planning.budget import Budget
from study.planning.plan import PlannedCell, confirm_settings
from study.search.cell_search import CellSearch
from study.search.count_search import CountSearch, series
from study.search.encoding import Sized
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
        training = [cell for cell in planned if trains_on_all(cell)]
        for group in counted:
            trained = [search(cell) for cell in trained_beside(training, group[0], self.config.outer.epochs)]
            listed.append(CountSearch([search(cell) for cell in group], self.config.minimum, trained))
        return listed

    @cached_property
    def _models(self) -> dict[int | None, SharedModel]:
        """By fold, the model that its cells share, where the study has some. A fold's model must not know how others
        did on their validation patients: this fold tests them."""
        if self.config.search.sampler != SHARED:
            return {}
        folds: dict[int | None, list[Sized]] = defaultdict(list)
        for entry in self.plan:
            folds[entry.cell.fold].append((entry.cell, entry.parameters))
        return {fold: SharedModel(self.ledger, cells, self.prior) for fold, cells in folds.items()}

    def write_landscapes(self) -> None:
        """Write what the models of its cells have learned, where the study has some, for its page."""
        if self._models:
            cells = [entry.cell for entry in self.plan]
            spaces = (search_space(self.config.search, cell.method, fixed_delta=True) for cell in cells)
            models = (self._models[cell.fold] for cell in cells)
            write_landscapes(self.ledger.folder, zip(cells, spaces, models, strict=True))

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
            shared=self._models.get(cell.fold),
        )
