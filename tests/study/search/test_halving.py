"""Successive halving: who goes on from a rung, whatever the order and wherever a driver is killed."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ledger import ledger as ledger_module
from ledger import trial_folder
from ledger.ledger import Ledger
from ledger.trial import Trial
from sldd.errors import InputError
from sldd.rng import stream
from sldd.training.outer_settings import OuterSettings
from study.config.rungs import rung_steps
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.search.cell_search import CellSearch
from study.search.halving import halved_steps, promoted
from study.search.trial_record import TrialRecord
from tests.conftest import OpenLedger
from tests.study.conftest import run_stub

CELLS = [Cell("a", "sldd", "as_is", 3, "one_hot", 1, 1), Cell("b", "train", "as_is")]
STEPS = (10, 20, 40)
OUTER = OuterSettings(steps=40, evaluations=4)


class Killed(BaseException):
    """What a driver that is killed leaves undone."""


def _record(index: int, *scores: float, rung: int | None, taken_up: tuple[float, ...] = ()) -> TrialRecord:
    kept = {"rung": rung, "rungs": 2, "taken_up": taken_up, "rung_scores": scores}
    return TrialRecord(index, f"a/{index}", "search", "done", **kept)  # type: ignore[arg-type]


def test_the_better_half_goes_on_once_all_are_there() -> None:
    records = [_record(index, score, rung=1) for index, score in enumerate((0.1, 0.4, 0.3, 0.4))]
    assert promoted(records[:3], 4) == []
    assert [record.index for record in promoted(records, 4)] == [1, 3]
    assert [record.index for record in promoted(records[:3], 3)] == [1, 2], "of three, two"
    on_its_way = TrialRecord(1, "a/1", "search", "running", rungs=2, taken_up=(0.4,), rung_scores=(0.4,))
    assert [record.index for record in promoted([records[0], on_its_way, *records[2:]], 4)] == [3]
    there = [_record(1, 0.4, 0.5, rung=2, taken_up=(0.4,)), _record(3, 0.4, 0.6, rung=2, taken_up=(0.4,))]
    assert promoted([records[0], there[0], on_its_way, records[2]], 4) == [], "the second rung waits too"
    assert [record.index for record in promoted([records[0], there[0], records[2], there[1]], 4)] == [3]


def test_a_trial_is_held_against_others_by_its_best_score_until_the_rung() -> None:
    spec = TrialSpec(CELLS[0], "search", 7, 0.03, rungs=list(STEPS[:2]), taken_up=[0.5])
    scores = ("val_hm", "val_auc", "val_patch_accuracy")
    history = [{"step": step} | dict.fromkeys(scores, score) for step, score in ((10, 0.5), (15, 0.8), (20, 0.6))]
    result = {"status": "done", "validation": None, "history": history, "rung": 2}
    record = TrialRecord.of(Trial(Path(), spec.to_json() | {"cell": "a", "index": 0}, result))
    assert (record.rung, record.rungs, record.rung_scores) == (2, 2, [0.5, 0.8])


def test_rungs_are_evaluations_before_the_last() -> None:
    settings = SearchSettings(pruner="halving", rungs=[0.2, 15])
    assert rung_steps(settings, OUTER) == (10, 20)
    assert rung_steps(SearchSettings(rungs=[100]), OUTER) == ()
    for rungs, says in (
        [[40.0], "40 has no evaluation before the last of 40"],
        [[0.5, 0.5], "0.5 has no evaluation of"],
    ):
        with pytest.raises(InputError, match=says):
            rung_steps(SearchSettings(pruner="halving", rungs=rungs), OUTER)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="core_seconds: does not go with pruner halving"):
        rung_steps(SearchSettings(pruner="halving", core_seconds=10.0), OUTER)
    assert halved_steps(4, (10, 20), 40) == 4 * 10 + 2 * 10 + 1 * 20
    assert halved_steps(3, (), 40) == 120


def _result(config: dict[str, Any]) -> dict[str, Any]:
    """What a worker makes of a configuration: scores rise by chance until the rung that it runs to."""
    spec, ran = TrialSpec.from_json(config), config.get("taken_up", [])
    luck = stream(config["seed"], config["trial"]).uniform(0, 1, 4).cumsum() / 4
    scores = ("val_hm", "val_auc", "val_patch_accuracy")
    steps = [step for step in (10, 20, 30, 40) if step <= (spec.until or 40)]
    history = [{"step": step} | dict.fromkeys(scores, float(value)) for step, value in zip(steps, luck, strict=False)]
    best = {name.removeprefix("val_"): history[-1][name] for name in scores}
    waits = len(ran) + 1 if spec.until else None
    return {
        "status": "done", "delta": 0.6, "validation": best | {"curve": {"delta": [1.0], "hm": [best["hm"]]}},
        "seconds": float(steps[-1]), "history": history, "rung": waits, "stopped": bool(waits), "finished": "",
        "outer_steps": steps[-1],
    }  # fmt: skip


def _searches(ledger: Ledger, trials: int, **settings: Any) -> list[CellSearch]:
    search = SearchSettings(trials=trials, pruner="halving", **settings)
    return [CellSearch(cell, search, ConfirmSettings(1), ledger, seed=7, rungs=STEPS[:2]) for cell in CELLS]


def _facts(ledger: Ledger) -> dict[str, Any]:
    return {t.name: (t.config | {"owner": ""}, t.result) for group in ledger.trials.values() for t in group}


@pytest.mark.parametrize("parallel", [1, 3])
def test_the_same_trials_go_on_whoever_is_first(tmp_path: Path, open_ledger: OpenLedger, parallel: int) -> None:
    ends = []
    for order in range(3):
        ledger = open_ledger(tmp_path / str(order))
        settings = {"sampler": "random", "parallel": parallel}
        ran = Counter(run_stub(_searches(ledger, 5, **settings), ledger, _result, order=order))
        ends.append(_facts(ledger))
        for cell in CELLS:
            search = [trial.result or {} for trial in ledger.of(cell.name, "search")]
            assert sorted(result["outer_steps"] for result in search) == [10, 10, 20, 40, 40]
            assert sum(ran[trial.name] for trial in ledger.of(cell.name, "search")) == 5 + 3 + 2
            (confirm,) = ledger.of(cell.name, "confirm")
            assert (search[confirm.config["source"]])["rung"] is None, "what is confirmed ran to its end"
            assert confirm.config["rungs"] == []
    assert ends[0] == ends[1] == ends[2]


def test_a_larger_search_takes_up_what_had_been_left_at_a_rung(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    run_stub(_searches(ledger, 4), ledger, _result)
    ledger = open_ledger(tmp_path)
    run_stub(_searches(ledger, 8), ledger, _result)
    for cell in CELLS:
        search = [trial.result or {} for trial in ledger.of(cell.name, "search")]
        assert len(search) == 8
        by_score = sorted(search, key=lambda result: -result["history"][0]["val_hm"])
        assert all(result["outer_steps"] >= 20 for result in by_score[:4])


def test_killed_at_any_write_nothing_is_lost_or_run_twice(
    tmp_path: Path, open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_ledger(tmp_path / "whole")
    run_stub(_searches(whole, 4, sampler="random"), whole, _result)
    writes, kill = 0, -1

    def deadly(write: Any) -> Any:
        def dies(*args: Any, **kwargs: Any) -> Any:
            nonlocal writes
            done = write(*args, **kwargs)
            writes += 1
            if writes == kill:
                raise Killed
            return done

        return dies

    for module, name in itertools.product((ledger_module, trial_folder), ("write_whole", "create_whole")):
        monkeypatch.setattr(module, name, deadly(getattr(module, name)))
    for moment in range(2, 56, 2):
        finished: Counter[tuple[str, int]] = Counter()

        def counted(config: dict[str, Any]) -> dict[str, Any]:
            finished[config["trial"], len(config.get("taken_up", []))] += 1  # noqa: B023
            return _result(config)

        writes, kill = 0, moment
        folder = tmp_path / str(moment)

        def drive() -> Ledger:
            ledger = open_ledger(folder)  # noqa: B023
            run_stub(_searches(ledger, 4, sampler="random"), ledger, counted)
            return ledger

        with pytest.raises(Killed):
            drive()
        ledger = drive()
        assert _facts(ledger) == _facts(whole), moment
        again = [key for key, times in finished.items() if times > 1]
        assert len(again) <= 2, "at most what ran when the driver was killed"
