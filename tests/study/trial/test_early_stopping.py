"""The median rule: what a trial is told, when it stops, and that nothing but the ledger decides it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.ledger import Ledger
from ledger.trial import Trial
from sldd.metrics.patient_votes import harmonic_mean
from sldd.rng import stream
from study.config.pruners import PRUNERS, Pruner
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.config.tasks.patches import PATCHES
from study.grid.axes import Cell
from study.search.cell_search import CellSearch
from study.trial.early_stopping import is_below, stop_below, stopped_early
from tests.conftest import OpenLedger
from tests.study.conftest import run_stub

STEPS = [10, 20, 30, 40]
CELLS = [Cell("a", "sldd", "as_is", 3, "one_hot", 1, 1), Cell("b", "train", "as_is")]
MEDIAN = SearchSettings(trials=10, pruner="median", stop_after=0.5)

Hms = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.6, 0.75, 1.0]), min_size=4, max_size=4)


REACHED = partial(PATCHES.compared, score="smooth", prefix="val_")


def _history(hms: list[float]) -> list[dict[str, Any]]:
    scores = ("val_hm", "val_auc", "val_patch_accuracy")
    return [{"step": step} | dict.fromkeys(scores, hm) for step, hm in zip(STEPS, hms, strict=False)]


def _trial(hms: list[float], status: str = "done") -> Trial:
    return Trial(Path(), {}, {"status": status, "history": _history(hms)})


def _stops_at(limits: list[list[float]], hms: list[float]) -> int | None:
    """The evaluation after which a trial stops."""
    return next((n for n in range(1, 5) if is_below(limits, _history(hms[:n]), REACHED)), None)


def test_limits_are_medians_of_the_best_so_far_from_the_warm_up_to_the_last_step() -> None:
    earlier = [_trial([0.9, 0.1, 0.1, 0.1]), _trial([0.0, 0.5, 0.2, 0.8]), _trial([0.1, 0.2, 0.3, 0.4])]
    assert stop_below(earlier, MEDIAN, REACHED) == [[20, 0.5], [30, 0.5]]
    assert stop_below(earlier, SearchSettings(pruner="median", stop_after=0), REACHED) == [
        [10, 0.1],
        [20, 0.5],
        [30, 0.5],
    ]
    assert stop_below(earlier, SearchSettings(), REACHED) == []
    assert stop_below(earlier[:2], MEDIAN, REACHED) == [], "two are too few"
    assert stop_below([*earlier[:2], _trial([0.1], "diverged")], MEDIAN, REACHED) == [], "one that diverged is none"


def test_a_stopped_trial_counts_with_what_it_had() -> None:
    earlier = [_trial([0.1, 0.1]), _trial([0.0, 0.5, 0.5, 0.8]), _trial([0.1, 0.2, 0.7, 0.9])]
    assert stop_below(earlier, MEDIAN, REACHED) == [[20, 0.2], [30, 0.5]]


@given(earlier=st.lists(Hms, min_size=3, max_size=8), hms=Hms, after=st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_only_what_is_worse_than_the_median_is_stopped(
    earlier: list[list[float]], hms: list[float], after: float
) -> None:
    limits = stop_below(map(_trial, earlier), SearchSettings(pruner="median", stop_after=after), REACHED)
    medians = [median(max(other[:n]) for other in earlier) for n in range(1, 5)]
    stopped = _stops_at(limits, hms)
    worse = [n for n in (1, 2, 3) if STEPS[n - 1] >= after * 40 and max(hms[:n]) < medians[n - 1]]
    assert stopped == (worse[0] if worse else None)
    if stopped is not None:
        assert max(hms[:stopped]) < max(max(other) for other in earlier), "the best of a cell is never one of them"


def test_a_line_of_the_table_adds_a_pruner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRUNERS, "worst", Pruner(limits=lambda curves, first: [[40, min(curves)[-1][1]]]))
    earlier = [_trial([0.1, 0.1]), _trial([0.0, 0.5, 0.5, 0.8])]
    assert stop_below(earlier, SearchSettings(pruner="worst"), REACHED) == [[40, 0.8]]


def _searches(ledger: Ledger, trials: int) -> list[CellSearch]:
    settings = SearchSettings(trials=trials, pruner="median", stop_after=0.25), ConfirmSettings(2)
    return [CellSearch(cell, *settings, ledger, seed=7) for cell in CELLS]


def _result(config: dict[str, Any]) -> dict[str, Any]:
    """What a worker makes of a configuration: HM rises over the steps, more for rates near 0.03, with some luck."""
    luck = stream(config["seed"], config["trial"]).uniform(0, 0.2, len(STEPS))
    reach = max(0.0, 0.8 - abs(config["outer_lr"] - 0.03) * 10)
    hms = [float(reach * step / 40 + more) for step, more in zip(STEPS, luck, strict=True)]
    stopped = _stops_at(config.get("stop_below", []), hms)
    hms = hms[:stopped]
    hm = max(hms)
    validation = {"hm": hm, "auc": hm, "patch_accuracy": hm, "curve": {"delta": [1.0], "hm": [hm]}}
    result = {"status": "done", "delta": 0.6, "validation": validation, "seconds": 1.0, "history": _history(hms)}
    return result | {"stopped": stopped is not None, "outer_steps": STEPS[len(hms) - 1]}


def _facts(ledger: Ledger) -> dict[str, Any]:
    return {t.config["trial"]: (t.config | {"owner": ""}, t.result) for ts in ledger.trials.values() for t in ts}


@pytest.mark.parametrize("cut", [0, 4, 7, 13, 22])
@pytest.mark.parametrize("order", range(3))
def test_the_same_trials_stop_however_the_study_is_interrupted(
    tmp_path: Path, open_ledger: OpenLedger, cut: int, order: int
) -> None:
    whole, parts = open_ledger(tmp_path / "whole"), open_ledger(tmp_path / "parts")
    run_stub(_searches(whole, 10), whole, _result)
    run_stub(_searches(parts, 10), parts, _result, limit=cut, order=order)
    parts = open_ledger(tmp_path / "parts")
    run_stub(_searches(parts, 10), parts, _result, order=order + 5)
    assert _facts(parts) == _facts(whole)


def test_confirm_trials_and_the_best_are_never_stopped(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    for trials in (6, 12):  # grown after it was confirmed
        ledger = open_ledger(tmp_path)
        searches = _searches(ledger, trials)
        run_stub(searches, ledger, _result)
    for search in searches:
        confirm, searched = (ledger.of(search.cell.name, phase) for phase in ("confirm", "search"))
        assert not any(trial.config.get("stop_below") or (trial.result or {})["stopped"] for trial in confirm)
        assert not any((trial.result or {})["stopped"] for trial in searched[:3])
        best = max(searched, key=lambda trial: PATCHES.worth(trial.result or {}, "smooth"))
        assert not (best.result or {})["stopped"]
    stopped = [t.result for ts in ledger.trials.values() for t in ts if t.result and t.result["stopped"]]
    assert stopped
    spared = sum(40 - result["outer_steps"] for result in stopped)
    assert stopped_early(ledger) == (
        f"{len(stopped)} of 24 search trials did worse than others and were stopped early, which spared {spared} of "
        "their 960 outer steps"
    )


def test_nothing_is_said_where_nothing_was_stopped(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(tmp_path)
    run_stub(_searches(ledger, 2), ledger, _result)
    assert stopped_early(ledger) is None


def test_what_equals_the_median_is_not_stopped() -> None:
    """HM 0.4 of other calls differs in the last digit."""
    equal, other = harmonic_mean(0.3, 0.6), harmonic_mean(0.4, 0.4)
    assert equal < other
    limits = stop_below([_trial([other] * 4)] * 3, MEDIAN, REACHED)
    assert _stops_at(limits, [equal] * 4) is None
    assert not is_below([[20, other]], _history([equal] * 2), REACHED)
