"""The tables before and after a study."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from analysis.records.rule import Rule
from ledger.trial_folder import TrialFolder
from study.config.cells import cells
from study.config.loader import load
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.engine.report import dry_run
from study.engine.report.dry_run import likely, plan_table, shares_taken
from study.engine.report.summary_table import end_table, spared
from study.grid.axes import Cell, GridSettings
from study.grid.spec import TrialSpec
from study.planning.plan import PlannedCell
from study.search.cell_search import CellSearch
from study.search.count_search import CountSearch, series
from tests.analysis.conftest import voters
from tests.conftest import OpenLedger

CELL = Cell("net", "sldd", "as_is", 3, "one_hot", 1, 1)
PLAN = [PlannedCell(CELL, 1234, None, 100.0), PlannedCell(Cell("deep", "sldd", "as_is", 1), 99, "too deep", None)]


def _drawn(table: object) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_plan_names_cells_and_refusals() -> None:
    drawn = _drawn(plan_table(PLAN))
    assert "net-m3-one_hot-as_is-sldd-s1e1" in drawn
    assert "1,234" in drawn
    assert "refused" in drawn


def test_likely_cost_is_by_what_finished_trials_took(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path / "study")
    most = {CELL.name: 100}
    assert shares_taken(ledger.folder, most) == []
    assert "finished trials will tell" in likely([], 600.0)
    for steps, status, ended in (
        (40, "done", "patience"),
        (100, "done", "steps"),
        (10, "diverged", ""),
        (5, "done", "rung"),
    ):
        trial = ledger.begin(ledger.add(CELL.name, TrialSpec(CELL, "search", steps, outer_lr=0.1).to_json()))
        TrialFolder(trial.folder, trial.config["owner"]).finish(
            {"status": status, "outer_steps": steps, "ended": ended}
        )
    taken = shares_taken(ledger.folder, most)
    assert sorted(taken) == [0.4, 1.0]
    assert likely(taken, 600.0) == (
        "likely about 7 min: the 2 finished trials took 70% of their steps (outer.patience)"
    )
    assert shares_taken(tmp_path / "none", most) == []


def test_end_table_averages_the_confirm_trials(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path / "study")
    for seed, hm in enumerate((0.8, 0.9)):
        trial = ledger.begin(ledger.add(CELL.name, TrialSpec(CELL, "confirm", seed, outer_lr=0.1).to_json()))
        test = {"patients": voters(hm)}
        TrialFolder(trial.folder, trial.config["owner"]).finish({"status": "done", "delta": 0.4, "test": test})
        ledger.refresh(trial)
    drawn = _drawn(end_table(PLAN, ledger, note="a note"))
    assert "a note" in drawn
    assert "0.85 (0.80 to 0.90)" in drawn
    assert "2 done" in drawn


def test_what_core_seconds_would_have_bought_is_not_told(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path / "study")

    def said(settings: SearchSettings) -> str | None:
        (grid,) = series(cells([GridSettings(["net"], "search", most_images=3)]))
        made = [CellSearch(cell, settings, ConfirmSettings(2), ledger, seed=0) for cell in grid]
        return spared([CountSearch(made, Rule()), made[0]], settings)

    whole = "searching image counts spared 2 cells"  # all but the largest, with which it begins
    assert str(said(SearchSettings(trials=100))).startswith(f"{whole} and 204 trials of the full grid, about")
    assert said(SearchSettings(trials=100, core_seconds=120.0)) == f"{whole} of the full grid"
    assert spared([], SearchSettings()) is None


def test_networks_that_nothing_is_held_against_are_named() -> None:
    distilled = [Cell(name, "sldd", "as_is", images) for name in ("net", "deep", "wide") for images in (1, 2)]
    trained = [
        Cell("net", "train", "as_is", train_view="whole"),
        Cell("deep", "train", "as_is", train_patches=9),
        Cell("wide", "train", "group"),
    ]
    assert dry_run._unheld([*distilled, *trained]) == ["deep", "wide"]


def test_power_is_planned_without_controls() -> None:
    config = load("demo", [])
    plan = [PlannedCell(Cell(name, "sldd", "as_is", images), size, None, 1.0)
            for name, size in (("net", 10), ("deep", 99)) for images in (1, 2)]  # fmt: skip
    plan.append(PlannedCell(Cell("wide", "sldd", "as_is", 1), 999, "too wide", None))
    real = [PlannedCell(Cell(name, "random_real", "as_is", 3), size, None, 1.0)
            for name, size in (("net", 10), ("deep", 99), ("wide", 999))]  # fmt: skip
    design = dry_run._design(config, plan + real, patients=24)
    assert design is not None
    assert design == dry_run._design(config, plan, patients=24)
