"""The line that a user watches."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from analysis.records.rule import Rule
from analysis.text.words import duration
from ledger.trial_folder import TrialFolder
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.engine.report.progress import ProgressLine, TuneReports
from study.grid.axes import Cell
from study.planning.plan import PlannedCell
from study.search.cell_search import CellSearch
from study.search.count_search import CountSearch
from study.search.tune_searcher import StudySearcher
from tests.conftest import OpenLedger

CELL = Cell("net", "sldd", "as_is", 3, "one_hot", 1, 1)
PLAN = [PlannedCell(CELL, 1234, None, 100.0), PlannedCell(Cell("deep", "sldd", "as_is", 1), 99, "too deep", None)]


@pytest.mark.parametrize(("seconds", "says"), [(45, "45 s"), (600, "10 min"), (12_240, "3.4 h")])
def test_durations(seconds: float, says: str) -> None:
    assert duration(seconds) == says


def test_line_counts_and_estimates(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path / "study")
    line = ProgressLine(Console(file=io.StringIO()), "demo", PLAN, ledger, slots=1)
    search = CellSearch(CELL, SearchSettings(trials=3), ConfirmSettings(1), ledger, seed=0)
    line.searcher, line.searches = StudySearcher([search], ledger), [search]
    assert line.text() == "demo: 0/4 trials done, 0 running, 0 failed, about 7 min left"
    config = line.searcher.suggest("one")
    assert isinstance(config, dict)
    tune, trial = TuneReports(line), SimpleNamespace(config=config)
    assert "0 running, 1 waiting, 0 failed" in line.text()
    tune.on_trial_start(0, [], trial)
    assert "1 running, 0 failed" in line.text()
    tune.on_trial_recover(0, [], trial)
    assert "0 running, 1 waiting" in line.text()
    tune.on_trial_start(0, [], trial)
    tune.on_trial_result(0, [], trial, {"step": 9, "steps": 10})
    assert "about 5 min left" in line.text(), "90 of four times 100 s are done"
    validation = {"hm": 0.75, "auc": 0.8, "patch_accuracy": 0.5, "curve": {"delta": [1.0], "hm": [0.75]}}
    result = {"status": "done", "seconds": 20.0, "delta": 0.5, "validation": validation}
    TrialFolder(Path(config["folder"]), config["owner"]).finish(result)
    line.searcher.on_trial_complete("one")
    assert line.text() == "demo: 1/4 trials done, 0 running, 0 failed, best validation HM 0.75, about 60 s left"


def test_confirm_trials_are_expected_to_take_their_own_time(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path / "study")
    plan = [replace(PLAN[0], fresh_seconds=50.0)]
    line = ProgressLine(Console(file=io.StringIO()), "demo", plan, ledger, slots=1)
    search = CellSearch(CELL, SearchSettings(trials=1), ConfirmSettings(2), ledger, seed=0)
    line.searcher, line.searches = StudySearcher([search], ledger), [search]
    assert "about 7 min left" in line.text(), "100 s, and twice 150 s"
    validation = {"hm": 0.75, "auc": 0.8, "patch_accuracy": 0.5, "curve": {"delta": [1.0], "hm": [0.75]}}
    done = {"status": "done", "delta": 0.5, "validation": validation}

    def run(seconds: float) -> None:
        config = line.searcher.suggest(str(seconds)) if line.searcher else None
        assert isinstance(config, dict)
        TrialFolder(Path(config["folder"]), config["owner"]).finish(done | {"seconds": seconds})
        assert line.searcher is not None
        line.searcher.on_trial_complete(str(seconds))

    run(20.0)
    assert "about 2 min left" in line.text(), "twice as long as the search trial took, and 50 s"
    run(40.0)
    assert "about 40 s left" in line.text()


def test_counts_that_are_searched_may_ask_for_more(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path / "study")
    cells = [replace(CELL, images=images, counted=True) for images in (1, 2, 3)]
    plan = [PlannedCell(cell, 1234, None, 100.0) for cell in cells]
    line = ProgressLine(Console(file=io.StringIO()), "demo", plan, ledger, slots=1)
    each = [CellSearch(cell, SearchSettings(trials=3), ConfirmSettings(1), ledger, seed=0) for cell in cells]
    line.searches = [CountSearch(each, Rule())]
    assert line.text() == "demo: 0/4 or more trials done, 0 running, 0 failed, at least 7 min left"
    line.searches = [CountSearch(each[:1], Rule())]
    assert line.text() == "demo: 0/4 trials done, 0 running, 0 failed, about 7 min left"


@pytest.mark.parametrize(("ci", "lines"), [("", 1), ("true", 0)])
def test_nobody_watches_under_ci(
    tmp_path: Path, open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch, ci: str, lines: int
) -> None:
    monkeypatch.setenv("CI", ci)
    said = io.StringIO()
    line = ProgressLine(Console(file=said), "demo", [], open_ledger(tmp_path / "demo"), 1)
    line.show()
    assert said.getvalue().count("trials done") == lines
    line.say("what matters is said")
    assert "what matters" in said.getvalue()
