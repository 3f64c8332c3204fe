"""The search inside a cell, without Ray: a stub stands in for the worker."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ledger.ledger import Ledger
from ledger.trial import Trial
from ledger.trial_folder import TrialFolder
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.engine.watch import RoomWatch
from study.grid.axes import Cell
from study.search.cell_search import CellSearch
from study.search.sampler import observations, search_space
from study.search.tune_searcher import StudySearcher
from tests.conftest import OpenLedger
from tests.study.conftest import run_stub

CELLS = [Cell("a", "sldd", "as_is", 3, "one_hot", 1, 1), Cell("b", "train", "as_is")]


Settings = tuple[SearchSettings, ConfirmSettings]


def _settings(trials: int, repeats: int = 1, **options: Any) -> Settings:
    return SearchSettings(trials=trials, **options), ConfirmSettings(repeats)


def _searches(ledger: Ledger, settings: Settings) -> list[CellSearch]:
    return [CellSearch(cell, *settings, ledger, seed=7) for cell in CELLS]


def _result(config: dict[str, Any], status: str = "done") -> dict[str, Any]:
    """HM falls with the distance of the outer rate from 0.03; the best threshold is 0.6."""
    hm = round(max(0.0, 1 - abs(config["outer_lr"] - 0.03) * 20), 6)
    curve = {"delta": [0.5, 0.7, 1.0], "hm": [hm / 2, hm, 0.0]}
    validation = {"hm": hm, "auc": hm, "patch_accuracy": 0.5, "curve": curve}
    return {"status": status, "delta": 0.6, "validation": validation, "seconds": 1.0}


def _run(ledger: Ledger, settings: Settings, *, status: str = "done", **how: Any) -> list[str]:
    return run_stub(_searches(ledger, settings), ledger, lambda config: _result(config, status), **how)


def _asked(ledger: Ledger) -> dict[str, dict[str, Any]]:
    return {
        trial.config["trial"]: {k: v for k, v in trial.config.items() if k != "owner"}
        for group in ledger.trials.values()
        for trial in group
    }


def test_every_cell_gets_its_trials_and_its_confirmation(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    ran = _run(ledger, _settings(6, 2))
    assert len(ran) == len(set(ran)) == 2 * (6 + 2)
    for cell in CELLS:
        best = max(ledger.of(cell.name, "search"), key=lambda t: (t.result or {})["validation"]["hm"])
        confirm = ledger.of(cell.name, "confirm")
        assert [t.config["seed"] for t in confirm] == [8, 9]
        assert {t.config["source"] for t in confirm} == {best.index}
        assert {t.config["outer_lr"] for t in confirm} == {best.config["outer_lr"]}
        assert {t.config["delta"] for t in confirm} == {None}, "each confirm run chooses its own threshold"


@pytest.mark.parametrize("order", range(3))
def test_suggestions_do_not_depend_on_who_finishes_first(tmp_path: Path, open_ledger: OpenLedger, order: int) -> None:
    settings = _settings(7, 2)
    one, other = open_ledger(tmp_path / "one"), open_ledger(tmp_path / "other")
    _run(one, settings)
    _run(other, settings, order=order + 1)
    assert _asked(one) == _asked(other)


@pytest.mark.parametrize("cut", [1, 4, 9, 15])
def test_resuming_changes_nothing_and_repeats_nothing(tmp_path: Path, open_ledger: OpenLedger, cut: int) -> None:
    settings = _settings(7, 2)
    whole = open_ledger(tmp_path / "whole")
    _run(whole, settings)
    before = open_ledger(tmp_path / "cut")
    first = _run(before, settings, limit=cut)
    after = open_ledger(tmp_path / "cut")
    second = _run(after, settings, order=5)
    assert not set(first) & set(second)
    assert _asked(after) == _asked(whole)


def test_more_trials_run_only_what_is_new(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    first = _run(ledger, _settings(4, 1))
    ledger = open_ledger(tmp_path)
    second = _run(ledger, _settings(6, 2))
    assert not set(first) & set(second)
    for cell in CELLS:
        assert len(ledger.of(cell.name, "search")) == 6
        best = max(ledger.of(cell.name, "search"), key=lambda t: (t.result or {})["validation"]["hm"])
        assert [t.config["source"] for t in ledger.of(cell.name, "confirm")] == [best.index] * 2
    assert _run(ledger, _settings(6, 2)) == []


def test_no_search_confirms_the_middle_of_the_ranges(tmp_path: Path, open_ledger: OpenLedger) -> None:
    searched, ledger = open_ledger(tmp_path / "searched"), open_ledger(tmp_path / "not")
    _run(searched, _settings(1, 2))
    assert len(_run(ledger, _settings(0, 2))) == 2 * 2
    own = {"trial", "index", "source", "owner", "folder"}
    for cell in CELLS:
        assert not ledger.of(cell.name, "search")
        one, other = (
            [{k: v for k, v in trial.config.items() if k not in own} for trial in each.of(cell.name, "confirm")]
            for each in (ledger, searched)
        )
        assert one == other, "what a search of one trial confirms"
    assert _run(open_ledger(tmp_path / "not"), _settings(0, 2)) == []


@pytest.mark.parametrize("worth", [1.0, 0.0])
def test_what_was_confirmed_without_a_search_stays_unless_one_finds_better(
    tmp_path: Path, open_ledger: OpenLedger, worth: float
) -> None:
    def result(config: dict[str, Any]) -> dict[str, Any]:
        middle = math.sqrt(math.prod((0.01, 0.1) if config["method"] == "sldd" else (0.0003, 0.01)))
        found = _result(config | {"outer_lr": 0.05})
        if math.isclose(config["outer_lr"], middle):
            found["validation"] |= {"auc": worth, "hm": worth}
        return found

    for settings in (_settings(0, 1), _settings(6, 2)):
        ledger = open_ledger(tmp_path)
        run_stub(_searches(ledger, settings), ledger, result)
    for cell in CELLS:
        first, second = ledger.of(cell.name, "search")[:2]
        confirmed = [trial.config["source"] for trial in ledger.of(cell.name, "confirm")]
        assert confirmed == ([None, first.index] if worth else [second.index] * 2)


def test_cell_that_only_diverges_is_not_confirmed(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    ran = _run(ledger, _settings(3, 2), status="diverged")
    assert len(ran) == 6
    assert not any(ledger.of(cell.name, "confirm") for cell in CELLS)


def test_sampler_learns_the_threshold_for_free(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    search = _searches(ledger, _settings(3, score="headline"))[0]
    trial = search.next()
    assert trial is not None
    TrialFolder(trial.folder, trial.config["owner"]).finish(_result(trial.config))
    ledger.refresh(trial)
    suggested, best = observations(trial, search_space(SearchSettings(), "sldd", fixed_delta=False))
    assert suggested.params["delta"] == trial.config["delta"] == 0.5
    assert best.params["delta"] == 0.6
    assert best.value == 2 * suggested.value  # type: ignore[operator]


def test_failed_trial_is_given_up_until_the_next_start(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    searcher = StudySearcher(_searches(ledger, _settings(2, 1))[:1], ledger)
    config = searcher.suggest("one")
    assert isinstance(config, dict)
    searcher.on_trial_complete("one", error=True)
    other = searcher.suggest("two")
    assert isinstance(other, dict)
    assert other["index"] == 1
    ledger = open_ledger(tmp_path)
    again = _searches(ledger, _settings(2, 1))[0].next()
    assert isinstance(again, Trial)
    assert (again.index, again.config["attempt"]) == (0, 2)


def test_what_an_earlier_start_left_unfinished_comes_first(tmp_path: Path, open_ledger: OpenLedger) -> None:
    begun = _searches(open_ledger(tmp_path), _settings(2))[1].next()
    ledger = open_ledger(tmp_path)
    config = StudySearcher(_searches(ledger, _settings(2)), ledger).suggest("one")
    assert isinstance(config, dict)
    assert isinstance(begun, Trial)
    assert config["trial"] == begun.name


def test_a_trial_that_ends_because_the_study_stops_has_not_failed(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    searcher = StudySearcher(_searches(ledger, _settings(2)), ledger)
    searcher.suggest("one")
    searcher.stopping = True
    searcher.on_trial_complete("one")
    assert searcher.suggest("two") == "FINISHED"
    assert [trial.status for trial in ledger.trials[CELLS[0].name]] == ["running"]


def test_options_are_chosen_learned_from_and_confirmed(open_ledger: OpenLedger, tmp_path: Path) -> None:
    settings = _settings(12, 2, options={"clip": [None, 3.0], "labels": ["raw", "softmax"]})
    ledger = open_ledger(tmp_path)
    _run(ledger, settings)
    sldd, train = (ledger.of(name, "search") for name in (CELLS[0].name, CELLS[1].name))
    assert sldd[0].config["options"] == {"clip": None, "labels": "raw"}
    assert len({tuple(trial.config["options"].values()) for trial in sldd}) > 2
    assert all(trial.config["options"] == {} for trial in train)  # ordinary training has none of them
    best = max(sldd, key=lambda trial: ((trial.result or {})["validation"]["hm"], -trial.index))
    confirm = ledger.of(CELLS[0].name, "confirm")
    assert all(trial.config["options"] == best.config["options"] for trial in confirm)


def test_cells_that_wait_are_asked_once_until_a_trial_ends(open_ledger: OpenLedger, tmp_path: Path) -> None:
    """Tune asks at every report of a trial, and a thousand cells take 34 ms to say no."""
    ledger, asked = open_ledger(tmp_path), list[CellSearch]()
    searches = _searches(ledger, _settings(3))
    searcher = StudySearcher(searches, ledger)
    running = [str(number) for number in range(len(searches))]
    for search in searches:
        search.next = lambda *, new=True, of=search: asked.append(of) or CellSearch.next(of, new=new)  # type: ignore
    configs = [searcher.suggest(name) for name in running]
    assert all(isinstance(config, dict) for config in configs)
    for _ in range(3):
        assert searcher.suggest("more") is None
    assert len(asked) == 2 * len(searches)
    config = configs[0]
    assert isinstance(config, dict)
    TrialFolder(Path(config["folder"]), config["owner"]).finish(_result(config, "done"))
    searcher.on_trial_complete("0")
    assert isinstance(searcher.suggest("more"), dict), "its cell goes on"


def test_a_full_disk_pauses_new_trials_and_says_so_once(open_ledger: OpenLedger, tmp_path: Path) -> None:
    ledger, said = open_ledger(tmp_path / "study"), list[str]()
    searcher = StudySearcher(_searches(ledger, _settings(2)), ledger, on_pause=said.append)
    begin = ledger.begin

    def full(trial: Trial) -> Trial:
        raise OSError(28, "No space left on device")

    ledger.begin = full  # type: ignore[method-assign]
    assert [searcher.suggest(str(number)) for number in range(3)] == [None] * 3
    assert len(said) == 1
    assert "no room left in" in said[0]
    ledger.begin = begin  # type: ignore[method-assign]
    config = searcher.suggest("3")
    assert isinstance(config, dict)
    assert config["index"] == 0, "nothing was skipped"


def test_a_full_disk_is_told_of_also_while_every_trial_waits(
    open_ledger: OpenLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, said = open_ledger(tmp_path / "study"), list[str]()
    searcher = StudySearcher(_searches(ledger, _settings(2)), ledger, on_pause=said.append)
    watch = RoomWatch(searcher, ledger)
    watch.on_step_end(0, [])
    assert said == []
    monkeypatch.setattr(Ledger, "full", True)
    watch.on_step_end(1, [])
    watch.on_step_end(2, [])
    assert len(said) == 1
    assert "no room left in" in said[0]


def test_a_driver_that_was_taken_for_dead_begins_nothing(
    open_ledger: OpenLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(tmp_path / "study")
    searcher = StudySearcher(_searches(ledger, _settings(2)), ledger)
    config = searcher.suggest("0")
    assert isinstance(config, dict)
    monkeypatch.setattr(Ledger, "lost", True)
    searcher.on_trial_complete("0")
    assert searcher.suggest("1") == "FINISHED"
    assert not (ledger.folder / "trials" / config["trial"] / "result.json").exists(), "it is not ours to fail"


@pytest.mark.parametrize(("budget", "trials"), [(0.5, 1), (2.5, 3), (3.0, 3), (99.0, 6)])
def test_core_seconds_end_a_search_where_they_are_spent(
    tmp_path: Path, open_ledger: OpenLedger, budget: float, trials: int
) -> None:
    ledger = open_ledger(tmp_path)
    _run(ledger, _settings(6, 1, core_seconds=budget))  # a trial takes one
    for cell in CELLS:
        assert len(ledger.of(cell.name, "search")) == trials
        assert len(ledger.of(cell.name, "confirm")) == 1
    assert _run(open_ledger(tmp_path), _settings(6, 1, core_seconds=budget)) == []


def test_what_is_spent_is_what_cores_took_and_not_what_the_clock_says(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    searches = _searches(ledger, _settings(6, 1, core_seconds=5.0))
    run_stub(searches, ledger, lambda config: _result(config) | {"core_seconds": 3.0})  # in a second each
    assert {len(ledger.of(cell.name, "search")) for cell in CELLS} == {2}


@pytest.mark.parametrize("sampler", ["qmc", "random"])
@pytest.mark.parametrize("lost", range(6))
def test_a_lost_trial_is_made_up_for_and_no_other_is_repeated(
    tmp_path: Path, open_ledger: OpenLedger, lost: int, sampler: str
) -> None:
    settings = _settings(4, 3, sampler=sampler)
    whole = open_ledger(tmp_path)
    _run(whole, settings)
    points = {cell: _points(whole, cell) for cell in whole.trials}
    for cell in points:
        (tmp_path / "trials" / cell / str(lost) / "config.json").write_text("{")
    ledger = open_ledger(tmp_path)
    _run(ledger, settings)
    assert {cell: _points(ledger, cell) for cell in ledger.trials} == points
    assert _run(open_ledger(tmp_path), settings) == []


def _points(ledger: Ledger, cell: str) -> list[tuple[str, int, float]]:
    """What the trials of a cell run, in no order."""
    return sorted((trial.phase, trial.config["seed"], trial.config["outer_lr"]) for trial in ledger.trials[cell])
