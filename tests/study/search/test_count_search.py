"""The search for the smallest sufficient image count, without Ray: a stub stands in for the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.records.rule import Rule
from ledger.ledger import Ledger
from ledger.trial_folder import TrialFolder
from study.config.cells import cells
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.config.tasks.patches import PATCHES
from study.grid.axes import GridSettings
from study.grid.ordinary_training import trained_beside
from study.search.cell_search import CellSearch
from study.search.count_search import CountSearch, series
from study.search.tune_searcher import Search, StudySearcher
from tests.analysis.conftest import voters
from tests.conftest import OpenLedger
from tests.study.conftest import run_stub

HM = {1: 0.3, 2: 0.5, 3: 0.84, 4: 0.85, 5: 0.9, 6: 0.92}


def _searches(
    ledger: Ledger, folds: int | None = None, trials: int = 4, repeats: int = 2, warm: int | None = None
) -> list[CountSearch]:
    grid = cells([GridSettings(["a", "b"], "search", most_images=6)], folds)
    settings = SearchSettings(trials=trials, warm_trials=warm), ConfirmSettings(repeats, folds)
    made = {cell: CellSearch(cell, *settings, ledger, seed=0) for cell in grid}
    return [CountSearch([made[cell] for cell in group], Rule()) for group in series(grid)]


def _result(config: dict[str, Any]) -> dict[str, Any]:
    hm = HM[config["images"]]
    if config["phase"] == "search":  # a longer search may find something better
        hm -= min(0.02, abs(config["outer_lr"] - 0.05))
    scores: dict[str, Any] = {"hm": hm, "auc": hm, "patch_accuracy": hm, "sensitivity": hm, "specificity": hm}
    scores |= {"curve": {"delta": [1.0], "hm": [hm]}, "patients": voters(hm, 100, first=200 * (config["fold"] or 0))}
    result = {"status": "done", "delta": 0.5, "validation": scores, "test": None, "seconds": 1.0}
    if config["phase"] == "confirm":
        result |= {"test": scores, "seconds": 4.0}
    return result


def _middle(hm: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Results as ever, but for what the middle of all ranges is worth in a search."""

    def result(config: dict[str, Any]) -> dict[str, Any]:
        result = _result(config)
        if config["index"] == 0:
            result["validation"] |= {"hm": hm, "auc": hm, "patch_accuracy": hm}
        return result

    return result


def _run(searches: Sequence[Search], ledger: Ledger, **how: Any) -> list[str]:
    return run_stub(searches, ledger, _result, **how)


def _counts(ledger: Ledger, backbone: str) -> dict[int, int]:
    """Search trials of every image count that was run."""
    found: dict[int, int] = {}
    for name, trials in ledger.trials.items():
        if name.startswith(backbone + "-"):
            found[trials[0].config["images"]] = sum(trial.config["phase"] == "search" for trial in trials)
    return found


def test_only_the_counts_that_decide_are_run_and_their_searches_are_shorter(
    tmp_path: Path, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(tmp_path)
    searches = _searches(ledger)
    _run(searches, ledger)
    # 6 for what is best; 1 and 2 do not suffice, 4 does, and 3 lies between.
    assert _counts(ledger, "a") == _counts(ledger, "b") == {6: 4, 1: 2, 2: 2, 4: 2, 3: 2}
    assert [search.cell.images for search in searches[0].spared] == [5]
    assert all(search.finished and not search.waiting for search in searches)
    assert searches[0].hm(3) == pytest.approx(0.84)
    assert searches[0].spared_trials == (4 + 2) + 4 * 2, "a cell, and half the search of the others but the first"
    assert searches[0].seconds == pytest.approx((12 * 1 + 10 * 4) / 22), "the mean over all trials"


@pytest.mark.parametrize(("warm", "trials"), [(1, 1), (3, 3), (9, 4)])
def test_how_short_the_others_are_may_be_told(tmp_path: Path, open_ledger: OpenLedger, warm: int, trials: int) -> None:
    ledger = open_ledger(tmp_path)
    _run(_searches(ledger, warm=warm), ledger)
    assert _counts(ledger, "a") == {6: 4, 1: trials, 2: trials, 4: trials, 3: trials}


def test_the_second_trial_takes_what_was_best_at_the_nearest_count_that_suffices(
    tmp_path: Path, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(tmp_path)
    run_stub(_searches(ledger), ledger, _middle(0.0))
    first = {t[0].config["images"]: t for name, t in ledger.trials.items() if name.startswith("a-")}
    best = {
        count: max(
            (t for t in trials if t.config["phase"] == "search"),
            key=lambda t: (PATCHES.worth(t.result or {}, "smooth"), -t.index),
        )
        for count, trials in first.items()
    }
    for rate in ("outer_lr", "inner_lr"):
        assert len({trials[0].config[rate] for trials in first.values()}) == 1, "the first is the full grid's"
        for count, nearest in {1: 6, 2: 6, 4: 6, 3: 4}.items():
            assert best[nearest].index > 0
            assert first[count][1].config[rate] == best[nearest].config[rate]


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize(
    ("trained", "margin", "expected"),
    [(0.98, 0.1, {1, 2, 4, 5, 6}), (0.98, 0.03, {6}), (0.45, 0.1, {1, 2, 3, 4, 6})],
    ids=["five are enough", "six fall short", "training that fails is no reference"],
)
def test_ordinary_training_is_waited_for_and_held_against(
    tmp_path: Path,
    open_ledger: OpenLedger,
    monkeypatch: pytest.MonkeyPatch,
    trained: float,
    margin: float,
    expected: set[int],
    order: int,
) -> None:
    monkeypatch.setitem(HM, None, trained)  # type: ignore[arg-type]
    ledger = open_ledger(tmp_path)
    grid = cells([GridSettings(["a"], "search", ["sldd", "train"], most_images=6)], None)
    made = {cell: CellSearch(cell, SearchSettings(trials=1), ConfirmSettings(1), ledger, seed=0) for cell in grid}
    (group,) = series([cell for cell in grid if cell.counted])
    beside = trained_beside(grid, group[0], None)
    assert [cell.method for cell in beside] == ["train"]
    own = [made[cell] for cell in beside]
    search = CountSearch([made[cell] for cell in group], Rule(margin), own)
    _run([search], ledger, limit=2)
    assert not search.finished, "the largest is done, and ordinary training has not begun"
    assert not CountSearch([made[cell] for cell in group], Rule(margin), own).finished
    _run([search, *own], ledger, order=order)
    assert search.finished
    assert {count for count in _counts(ledger, "a") if count} == expected


@pytest.mark.parametrize("trials", [1, 2])
def test_a_search_that_is_too_short_to_cut_is_the_full_grids_own(
    tmp_path: Path, open_ledger: OpenLedger, trials: int
) -> None:
    ledger, full = open_ledger(tmp_path / "searched"), open_ledger(tmp_path / "full")
    _run(_searches(ledger, trials=trials), ledger)
    settings = SearchSettings(trials=trials), ConfirmSettings(2)
    listed = cells([GridSettings(["a", "b"], [1, 2, 3, 4, 5, 6])])
    _run([CellSearch(cell, *settings, full, seed=0) for cell in listed], full)
    asked, all_asked = (
        {
            t.config["trial"]: {name: t.config[name] for name in ("phase", "outer_lr", "inner_lr", "delta", "seed")}
            for group in each.trials.values()
            for t in group
        }
        for each in (ledger, full)
    )
    assert len(asked) < len(all_asked)
    assert asked == {name: all_asked[name] for name in asked}


def test_what_was_best_and_is_tried_anyway_is_not_tried_twice(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    run_stub(_searches(ledger), ledger, _middle(1.0))
    for trials in ledger.trials.values():
        search = [trial.config["outer_lr"] for trial in trials if trial.config["phase"] == "search"]
        assert len(set(search)) == len(search) > 1


@pytest.mark.parametrize("cut", [1, 5, 12, 20])
def test_resuming_changes_nothing_and_repeats_nothing(tmp_path: Path, open_ledger: OpenLedger, cut: int) -> None:
    whole = open_ledger(tmp_path / "whole")
    _run(_searches(whole), whole)
    before = open_ledger(tmp_path / "cut")
    first = _run(_searches(before), before, limit=cut)
    after = open_ledger(tmp_path / "cut")
    second = _run(_searches(after), after, order=3)
    assert not set(first) & set(second)
    asked = [
        {t.config["trial"]: t.config | {"owner": ""} for group in ledger.trials.values() for t in group}
        for ledger in (whole, after)
    ]
    assert asked[0] == asked[1]


def test_folds_of_a_count_run_together_and_are_pooled(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    searches = _searches(ledger, folds=3, trials=1)
    _run(searches, ledger)
    assert len(ledger.trials) == 2 * 5 * 3
    assert searches[0].hm(2) == pytest.approx(0.5)
    assert len(searches[0].spared) == 3


def test_counts_without_a_result_are_passed_over(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    (search, _) = _searches(ledger, trials=1)
    searcher = StudySearcher([search], ledger)
    config = searcher.suggest("one")
    assert isinstance(config, dict)
    assert config["images"] == 6
    TrialFolder(Path(config["folder"]), config["owner"]).finish({"status": "diverged"})
    searcher.on_trial_complete("one")
    config = searcher.suggest("two")
    assert isinstance(config, dict)
    assert config["images"] == 5, "the largest that gives a result is the reference"


@pytest.mark.parametrize("folds", [None, 2])
@pytest.mark.parametrize("order", range(3))
def test_a_longer_search_confirms_what_is_best_now(
    tmp_path: Path, open_ledger: OpenLedger, folds: int | None, order: int
) -> None:
    """Whatever finishes first: a count is known once the confirm trials of its best setting are, and of no other."""
    asked = []
    for name, finishing in (("one", 0), ("other", order + 1)):
        ledger = open_ledger(tmp_path / name)
        _run(_searches(ledger, folds, trials=2), ledger)
        ledger = open_ledger(tmp_path / name)
        _run(_searches(ledger, folds, trials=6), ledger, order=finishing)
        for cell, trials in ledger.trials.items():
            search = [trial for trial in trials if trial.config["phase"] == "search"]
            best = max(search, key=lambda trial: (PATCHES.worth(trial.result or {}, "smooth"), -trial.index))
            assert {t.config["source"] for t in trials if t.config["phase"] == "confirm"} == {best.index}, cell
        asked.append({t.config["trial"]: t.config | {"owner": ""} for group in ledger.trials.values() for t in group})
    assert asked[0] == asked[1]


def test_nothing_is_spared_where_all_was_run_before(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    grid = cells([GridSettings(["a"], [1, 2, 3, 4, 5, 6])])
    listed = [CellSearch(cell, SearchSettings(trials=4), ConfirmSettings(2), ledger, seed=0) for cell in grid]
    _run(listed, ledger)
    (search, _) = _searches(ledger)
    assert search.finished
    assert search.spared == []
    assert search.spared_trials == 0
