"""Nothing that searches reads a test score: with other ones, the same trials are asked for, stopped and confirmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from ledger.ledger import Ledger
from sldd.rng import stream
from study.config.cells import cells
from study.config.loader import load
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.config.tasks.patches import PATCHES
from study.engine.study_run import StudyRun
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.planning.plan import PlannedCell
from study.search.cell_search import CellSearch
from study.search.shared_model import SharedModel
from tests.conftest import OpenLedger
from tests.study.conftest import run_stub

CELLS = [Cell("a", "sldd", "as_is", 3, "one_hot", 1, 1), Cell("b", "sldd", "as_is", 3, "one_hot", 1, 1)]
SCORES = ("hm", "auc", "patch_accuracy")


def _worker(test: Callable[[Any], float]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Stands in for a worker that leaves test scores wherever one might look for them, whatever its trial's phase."""

    def result(config: dict[str, Any]) -> dict[str, Any]:
        spec = TrialSpec.from_json(config)
        luck = stream(spec.seed, config["trial"]).uniform(0, 1, 4).cumsum() / 4
        steps = [step for step in (10, 20, 30, 40) if step <= (spec.until or 40)]
        rows = [dict.fromkeys(SCORES, float(value)) for value in luck[: len(steps)]]
        tested = dict.fromkeys(SCORES, test(config)) | {"curve": {"delta": [1.0], "hm": [test(config)]}}
        history: list[dict[str, Any]] = [
            {"step": step} | {f"val_{k}": v for k, v in row.items()} | {f"test_{k}": tested[k] for k in SCORES}
            for step, row in zip(steps, rows, strict=True)
        ]
        return {
            "status": "done", "delta": 0.6, "test": tested,
            "validation": rows[-1] | {"curve": {"delta": [1.0], "hm": [rows[-1]["hm"]]}},
            "seconds": 1.0, "history": history, "outer_steps": steps[-1], "finished": config["trial"],
            "rung": len(spec.taken_up) + 1 if spec.until else None, "stopped": spec.until is not None,
        }  # fmt: skip

    return result


def _study(ledger: Ledger, sampler: str, pruner: str, trials: int) -> list[CellSearch]:
    settings = SearchSettings(trials=trials, sampler=sampler, pruner=pruner, stop_after=0.2)
    shared = SharedModel(ledger, [(cell, 1000) for cell in CELLS]) if sampler == "shared" else None
    rungs = (10, 20) if pruner == "halving" else ()
    return [
        CellSearch(cell, settings, ConfirmSettings(1), ledger, seed=3, rungs=rungs, shared=shared) for cell in CELLS
    ]


def _asked(folder: Path, open_ledger: OpenLedger, sampler: str, pruner: str, test: Callable[[Any], float]) -> Any:
    """What a study asks for, that grows once its first confirm trials are tested."""
    for trials in (3, 5):
        ledger = open_ledger(folder)
        run_stub(_study(ledger, sampler, pruner, trials), ledger, _worker(test))
    return {t.name: t.config | {"owner": ""} for group in ledger.trials.values() for t in group}


PAIRS = [("tpe", "median"), ("qmc", "halving"), ("shared", "halving"), ("shared", "none")]


@pytest.mark.parametrize(("sampler", "pruner"), PAIRS)
def test_other_test_scores_change_nothing(tmp_path: Path, open_ledger: OpenLedger, sampler: str, pruner: str) -> None:
    if sampler == "shared":
        pytest.importorskip("botorch")
    low = _asked(tmp_path / "low", open_ledger, sampler, pruner, lambda config: config["index"] / 20)
    high = _asked(tmp_path / "high", open_ledger, sampler, pruner, lambda config: 1 - config["index"] / 20)
    assert low == high
    assert any(config["phase"] == "confirm" for config in low.values())


@pytest.mark.parametrize(("sampler", "pruner"), PAIRS[:2])
def test_one_that_read_them_would_be_found(
    tmp_path: Path, open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch, sampler: str, pruner: str
) -> None:
    def leaking(self: object, scores: dict[str, Any], score: str, prefix: str = "") -> float:
        return float(scores.get("test_hm", 0.5))

    monkeypatch.setattr(type(PATCHES), "compared", leaking)
    low = _asked(tmp_path / "low", open_ledger, sampler, pruner, lambda config: config["index"] / 20)
    high = _asked(tmp_path / "high", open_ledger, sampler, pruner, lambda config: 1 - config["index"] / 20)
    assert low != high


def _first_fold(folder: Path, open_ledger: OpenLedger, elsewhere: Callable[[float], float]) -> Any:
    """What the first of two folds asks for, where the other's validation patients, whom it tests, score as told."""
    config = load("demo", [
        "grid={backbone: [a, b], images: 3, method: sldd}", "confirm={repeats: 1, folds: 2}",
        "search={trials: 3, sampler: shared}",
    ])  # fmt: skip
    plan = [PlannedCell(cell, 1000, None, None) for cell in cells(config.grid, config.confirm.folds)]

    def result(asked: dict[str, Any]) -> dict[str, Any]:
        scores = dict.fromkeys(SCORES, elsewhere(asked["outer_lr"]) if asked["fold"] else 0.5)
        scores |= {"curve": {"delta": [1.0], "hm": [scores["hm"]]}}
        return {"status": "done", "delta": 0.6, "validation": scores, "test": scores, "seconds": 1.0,
                "finished": asked["trial"]}  # fmt: skip

    ledger, none = open_ledger(folder), cast(Any, None)
    run = StudyRun(config, ledger, plan, none, none, Console(quiet=True))
    run_stub(run.searches, ledger, result)
    trials = (trial for group in ledger.trials.values() for trial in group)
    return {trial.name: trial.config | {"owner": ""} for trial in trials if trial.config["fold"] == 0}


def test_what_a_fold_chooses_does_not_depend_on_those_it_tests(tmp_path: Path, open_ledger: OpenLedger) -> None:
    pytest.importorskip("botorch")
    low = _first_fold(tmp_path / "low", open_ledger, lambda rate: 1 - 9 * rate)
    high = _first_fold(tmp_path / "high", open_ledger, lambda rate: 9 * rate)
    assert low == high
