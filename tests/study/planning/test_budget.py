"""What a budget counts, when it says stop, and that a larger one goes on as if there had been none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.ledger import Ledger
from ledger.trial_folder import TrialFolder
from study.config.resource_settings import BudgetSettings
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.grid.axes import Cell
from study.planning.budget import Budget, outlook
from study.search.cell_search import CellSearch
from tests.conftest import OpenLedger
from tests.study.conftest import run_stub

CELLS = [Cell("a", "sldd", "as_is", 3, "one_hot", 1, 1), Cell("b", "train", "as_is")]


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.hours = 0.0

    def __call__(self) -> float:
        return self.hours * 3600


def _begin(ledger: Ledger) -> dict[str, Any]:
    return ledger.begin(ledger.add("cell", {"phase": "search", "seed": 0})).config


def _finish(ledger: Ledger, number: int, **result: Any) -> None:
    trial = ledger.trials["cell"][number]
    TrialFolder(trial.folder, trial.config["owner"]).finish({"status": "done", **result})
    ledger.refresh(trial)


def test_hours_are_those_of_this_start(tmp_path: Path, open_ledger: OpenLedger) -> None:
    clock, ledger = Clock(), open_ledger(tmp_path)
    budget = Budget(BudgetSettings(hours=2), ledger, gpus=0, clock=clock)
    clock.hours = 1.99
    assert budget.over is None
    clock.hours = 2
    assert budget.over == "budget.hours=2"
    assert budget.used_up is not None
    assert "the same command goes on for as long again" in budget.used_up
    assert Budget(BudgetSettings(hours=2), ledger, gpus=0, clock=clock).over is None


def test_gpu_hours_are_those_of_all_trials_and_starts(tmp_path: Path, open_ledger: OpenLedger) -> None:
    clock, ledger = Clock(), open_ledger(tmp_path)
    settings = BudgetSettings(gpu_hours=4)
    budget = Budget(settings, ledger, gpus=0.5, clock=clock)
    one, other = _begin(ledger), _begin(ledger)
    budget.started(one["trial"])
    clock.hours = 1
    budget.started(other["trial"])
    clock.hours = 2
    assert budget.gpu_hours == pytest.approx((2 + 1) * 0.5)
    budget.heard(one["trial"], 1.5 * 3600)  # its own clock is the truth: it waited for the cohort, say
    assert budget.gpu_hours == pytest.approx((1.5 + 1) * 0.5)
    _finish(ledger, 0, seconds=3 * 3600, gpus=0.5)
    budget.ended(one["trial"])
    assert budget.gpu_hours == pytest.approx((3 + 1) * 0.5)
    budget.ended(other["trial"])
    clock.hours = 9
    assert budget.gpu_hours == pytest.approx((3 + 1) * 0.5), "what does not run costs nothing"
    budget.keep()

    ledger = open_ledger(tmp_path)  # another start, with two GPUs a trial; what a trial took before it took
    budget = Budget(settings, ledger, gpus=2, clock=clock)
    assert budget.gpu_hours == pytest.approx(3 * 0.5 + 1 * 2)
    trial = ledger.begin(ledger.trials["cell"][1])
    budget.started(trial.name, trial.spent)
    assert budget.over is None
    clock.hours += 0.3
    assert budget.over == "budget.gpu_hours=4"


def test_a_failed_trial_has_used_what_it_took(tmp_path: Path, open_ledger: OpenLedger) -> None:
    clock, ledger = Clock(), open_ledger(tmp_path)
    budget = Budget(BudgetSettings(gpu_hours=1), ledger, gpus=1, clock=clock)
    budget.started(_begin(ledger)["trial"])
    clock.hours = 2
    budget.ended("cell/0")
    ledger.fail(ledger.trials["cell"][0])
    budget.keep()
    ledger = open_ledger(tmp_path)
    assert Budget(BudgetSettings(gpu_hours=1), ledger, gpus=1, clock=clock).gpu_hours == pytest.approx(2)


def _searches(ledger: Ledger) -> list[CellSearch]:
    settings = SearchSettings(trials=5), ConfirmSettings(2)
    return [CellSearch(cell, *settings, ledger, seed=7) for cell in CELLS]


def _result(config: dict[str, Any]) -> dict[str, Any]:
    hm = round(max(0.0, 1 - abs(config["outer_lr"] - 0.03) * 20), 6)
    validation = {"hm": hm, "auc": hm, "patch_accuracy": 0.5, "curve": {"delta": [1.0], "hm": [hm]}}
    return {"status": "done", "delta": 0.6, "validation": validation, "seconds": 1.0}


def _run(ledger: Ledger, trials: int | None, **how: Any) -> list[str]:
    budget = Budget(BudgetSettings(trials=trials), ledger, gpus=0)
    return run_stub(_searches(ledger), ledger, _result, may_begin=lambda: budget.may_begin, **how)


def _asked(ledger: Ledger) -> dict[str, dict[str, Any]]:
    return {t.config["trial"]: t.config | {"owner": ""} for group in ledger.trials.values() for t in group}


@pytest.mark.parametrize("steps", [[1], [3, 4, 9], [5, 5, 13]])
@pytest.mark.parametrize("killed", [False, True])
def test_a_study_in_instalments_is_the_study(
    tmp_path: Path, open_ledger: OpenLedger, steps: list[int], killed: bool
) -> None:
    whole = open_ledger(tmp_path / "whole")
    _run(whole, None)
    ran: list[str] = []
    for order, trials in enumerate(steps):
        if killed:  # with two trials in the air, which go on although nothing new may begin
            ran += _run(open_ledger(tmp_path / "parts"), trials, limit=max(0, trials - 2 - len(ran)), order=order)
        ledger = open_ledger(tmp_path / "parts")
        ran += _run(ledger, trials, order=order)
        assert len(ran) == len(ledger.trials.get(CELLS[0].name, [])) + len(ledger.trials.get(CELLS[1].name, []))
        assert len(ran) == trials
        assert all(trial.settled for group in ledger.trials.values() for trial in group), "running trials finish"
    ledger = open_ledger(tmp_path / "parts")
    ran += _run(ledger, None, order=9)
    assert len(ran) == len(set(ran)) == 2 * (5 + 2)
    assert _asked(ledger) == _asked(whole)


def test_a_plan_has_a_price_and_says_what_will_not_do() -> None:
    settings = BudgetSettings(trials=10, hours=20, gpu_hours=24, price=1.006)
    price, trials, gpu_hours = outlook(settings, 12, 25 * 3600.0, gpus=1, at_once=4)
    assert price == "price: about 6.29, at 1.006 for an hour of a machine that runs 4 trials at once"
    assert trials == "budget.trials=10: this takes 12, and will pause when the budget is used up"
    assert gpu_hours == "budget.gpu_hours=24: this takes about 25, and will pause when the budget is used up"
    assert not list(outlook(BudgetSettings(), 12, 25 * 3600.0, gpus=1, at_once=4))
