"""The model that cells share: what one cell learns helps the others, and the ledger alone decides."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.ledger import Ledger
from ledger.trial import Trial
from ledger.trial_folder import TrialFolder
from sldd.rng import stream
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.search.cell_search import CellSearch
from study.search.sampler import middle, search_space
from study.search.shared_model import FEWEST, MOST, SharedModel, _latest
from tests.conftest import OpenLedger
from tests.study.conftest import run_stub

SPACE = search_space(SearchSettings(options={"clip": [None, 3.0]}), "sldd", fixed_delta=False)
CELLS = [Cell(f"resnet{depth}", "sldd", "as_is", 3, "one_hot", 1, 1) for depth in (10, 18, 26, 34)]
SIZED = [(cell, 10**power) for power, cell in enumerate(CELLS, 5)]


def _score(outer_lr: float, best: float) -> float:
    return math.exp(-(math.log(outer_lr / best) ** 2))


def _ledger(trials: list[tuple[Cell, float, float]]) -> Ledger:
    """Of finished search trials: cell, outer rate and score, in the order in which they ended."""
    ledger = Ledger(Path())
    for number, (cell, outer_lr, score) in enumerate(trials):
        group = ledger.trials.setdefault(cell.name, [])
        spec = TrialSpec(cell, "search", 0, outer_lr, 0.02, options={"clip": None}, score="smooth").to_json()
        validation = {"hm": 0.0, "auc": score, "patch_accuracy": score}
        result = {"status": "done", "validation": validation, "finished": f"{number:05}"}
        group.append(Trial(Path(), spec | {"cell": cell.name, "index": len(group)}, result))
    return ledger


def _rates(number: int) -> list[float]:
    return [0.01 * 10 ** (step / (number - 1)) for step in range(number)]


def _learned(best: float, cells: list[Cell]) -> Ledger:
    return _ledger([(cell, rate, _score(rate, best)) for rate in _rates(6) for cell in cells])


def test_there_is_no_model_of_next_to_nothing() -> None:
    few = [(CELLS[0], rate, 0.5) for rate in _rates(FEWEST - 1)]
    assert SharedModel(_ledger(few), SIZED).suggest("0/a/0", CELLS[0], SPACE) is None
    assert SharedModel(_ledger(few), SIZED).best(CELLS[0], SPACE) is None
    more = [*few, (CELLS[1], 0.03, 0.5)]
    assert SharedModel(_ledger(more), SIZED).suggest("0/a/0", CELLS[0], SPACE) is not None


@pytest.mark.parametrize("best", [0.012, 0.08])
def test_the_first_trial_of_a_cell_is_what_was_best_elsewhere(best: float) -> None:
    first = SharedModel(_learned(best, CELLS[:3]), SIZED).suggest("0/new/0", CELLS[3], SPACE)
    assert first is not None
    assert first.keys() == SPACE.keys()
    assert abs(math.log(first["outer_lr"] / best)) < 0.35 < abs(math.log(middle(SPACE)["outer_lr"] / best))


@pytest.mark.parametrize("searched", [True, False])
def test_a_count_that_was_listed_and_is_searched_now_is_the_same_cell(searched: bool) -> None:
    """And the other way round: a study may go on so."""
    ran, sized = (
        [(replace(cell, counted=counted), size) for cell, size in SIZED] for counted in (not searched, searched)
    )
    cell, usual = sized[0][0], SIZED[0][0]
    model = SharedModel(_learned(0.012, [cell for cell, _ in ran]), sized)
    known = SharedModel(_learned(0.012, CELLS), SIZED)
    assert model.suggest("0/a/6", cell, SPACE) == known.suggest("0/a/6", usual, SPACE)
    assert model.best(cell, SPACE) == known.best(usual, SPACE)
    at = [middle(SPACE)]
    assert model.expected(cell, SPACE, at) == known.expected(usual, SPACE, at)


def test_trials_of_another_space_say_nothing() -> None:
    ledger = _learned(0.012, CELLS[:3])
    train = search_space(SearchSettings(), "train", fixed_delta=False)
    assert SharedModel(ledger, SIZED).suggest("0/new/0", CELLS[3], train) is None


def test_a_suggestion_follows_from_the_name_and_the_ledger() -> None:
    """Whatever the model saw before: a driver that resumes asks the same as one that was never stopped."""
    trials = [(CELLS[number % 3], rate, _score(rate, 0.05)) for number, rate in enumerate(_rates(12))]
    lasting = _ledger([])
    model = SharedModel(lasting, SIZED)
    for number in range(0, len(trials) + 1, 3):
        lasting.trials = _ledger(trials[:number]).trials
        anew = SharedModel(_ledger(trials[:number]), SIZED)
        assert model.suggest(f"0/a/{number}", CELLS[3], SPACE) == anew.suggest(f"0/a/{number}", CELLS[3], SPACE)
        assert model.best(CELLS[0], SPACE) == anew.best(CELLS[0], SPACE)


def test_what_is_confirmed_is_not_the_luckiest() -> None:
    """A trial far from where all others are good had luck."""
    luck = stream(0, "luck").normal(0, 0.1, (15, 3))
    others = [
        (cell, rate, _score(rate, 0.02) + float(more))
        for rate, row in zip(_rates(15), luck, strict=True)
        for cell, more in zip(CELLS[:3], row, strict=True)
    ]
    own = [(CELLS[3], 0.021, 0.8), (CELLS[3], 0.09, 0.85)]
    assert SharedModel(_ledger(others + own), SIZED).best(CELLS[3], SPACE) == 0
    clear = [(CELLS[3], 0.021, 0.2), (CELLS[3], 0.09, 0.95)]
    assert SharedModel(_ledger(others + clear), SIZED).best(CELLS[3], SPACE) == 1, "unless by far"


@pytest.mark.parametrize(
    ("ended", "short", "score", "elsewhere"),
    [({"rung": 1}, 1.0, 0.95, 0.09), ({"rung": 2}, 0.5, 0.95, 0.09), ({"status": "diverged"}, 0.0, 0.0, 0.02)],
)
def test_what_waits_at_a_rung_or_diverged_is_not_confirmed(
    ended: dict[str, Any], short: float, score: float, elsewhere: float
) -> None:
    """Though its score is the best by far."""
    ledger = _learned(elsewhere, CELLS[:3])
    ledger.trials |= _ledger([(CELLS[3], 0.021, 0.2), (CELLS[3], 0.09, 0.95)]).trials
    assert SharedModel(ledger, SIZED).best(CELLS[3], SPACE) == 1
    trial = ledger.trials[CELLS[3].name][1]
    trial.config["rungs"], trial.result = [10, 20], (trial.result or {}) | ended
    model = SharedModel(ledger, SIZED)
    assert model.best(CELLS[3], SPACE) == 0
    (seen,) = (each for each in model._trials(SPACE)[0] if each.name == CELLS[3].name and each.index == 1)
    assert (seen.short, seen.score) == (short, score)


def test_running_trials_are_not_suggested_again() -> None:
    ledger = _learned(0.03, CELLS)
    first = SharedModel(ledger, SIZED).suggest("0/a/6", CELLS[0], SPACE)
    assert first is not None
    spec = TrialSpec(CELLS[0], "search", 0, first["outer_lr"], first["inner_lr"], options={"clip": first["clip"]})
    group = ledger.trials[CELLS[0].name]
    group.append(Trial(Path(), spec.to_json() | {"cell": CELLS[0].name, "index": len(group)}))
    second = SharedModel(ledger, SIZED).suggest("0/a/6", CELLS[0], SPACE)
    assert second is not None
    assert second["outer_lr"] != first["outer_lr"]


def test_long_studies_keep_the_latest_of_each_cell() -> None:
    trials = [(CELLS[number % 3], rate, _score(rate, 0.03)) for number, rate in enumerate(_rates(MOST + 60))]
    model = SharedModel(_ledger(trials), SIZED)
    done = _latest(model._trials(SPACE)[0], MOST)
    assert len(done) == MOST
    assert [seen.ended for seen in done] == [f"{number:05}" for number in range(60, MOST + 60)]
    model.suggest("0/a/0", CELLS[0], SPACE)
    model._ledger = _ledger([*trials, (CELLS[0], 0.05, 0.5)])
    model.suggest("0/a/1", CELLS[0], SPACE)
    assert len(model._fitted) == 1, "and are not fitted anew with every trial"


def _searches(ledger: Ledger, settings: SearchSettings) -> list[CellSearch]:
    shared = SharedModel(ledger, SIZED)
    return [
        CellSearch(cell, settings, ConfirmSettings(2), ledger, seed=7, parameters=parameters, shared=shared)
        for cell, parameters in SIZED
    ]


def _result(config: dict[str, Any]) -> dict[str, Any]:
    score = _score(config["outer_lr"], 0.015)
    curve = {"delta": [1.0], "hm": [score]}
    validation = {"hm": score, "auc": score, "patch_accuracy": score, "curve": curve}
    return {"status": "done", "delta": 0.6, "validation": validation, "test": validation, "seconds": 1.0}


@pytest.mark.parametrize("cut", [3, 9, 14, 17])
def test_a_study_that_is_cut_off_confirms_as_it_had_begun(tmp_path: Path, open_ledger: OpenLedger, cut: int) -> None:
    settings = SearchSettings(trials=3)
    before = open_ledger(tmp_path)
    first = run_stub(_searches(before, settings), before, _result, limit=cut)
    confirmed = {t.name: t.config["source"] for ts in before.trials.values() for t in ts if t.phase == "confirm"}
    after = open_ledger(tmp_path)
    second = run_stub(_searches(after, settings), after, _result, order=5)
    assert not set(first) & set(second)
    assert len(first) + len(second) == len(CELLS) * (3 + 2), "nothing is superseded, whatever the model learns later"
    now = {t.name: t.config["source"] for ts in after.trials.values() for t in ts if t.phase == "confirm"}
    assert confirmed.items() <= now.items()
    assert run_stub(_searches(after, settings), after, _result) == []


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "shared"])
def test_a_cell_runs_as_many_trials_at_a_time_as_it_may(tmp_path: Path, open_ledger: OpenLedger, sampler: str) -> None:
    ledger = open_ledger(tmp_path)
    settings = SearchSettings(trials=6, parallel=4, sampler=sampler)
    shared = SharedModel(ledger, SIZED) if sampler == "shared" else None
    search = CellSearch(CELLS[0], settings, ConfirmSettings(1), ledger, seed=7, parameters=9, shared=shared)
    running = [search.next() for _ in range(4)]
    assert search.next() is None, "four run"
    rates = [trial.config["outer_lr"] for trial in running if trial]
    assert len(set(rates)) == 4
    trial = running[2]
    assert trial is not None
    TrialFolder(trial.folder, trial.config["owner"]).finish(_result(trial.config))
    ledger.refresh(trial)
    search.ended(trial, given_up=False)
    fifth = search.next()
    assert fifth is not None
    assert fifth.config["outer_lr"] not in rates
    assert search.next() is None
