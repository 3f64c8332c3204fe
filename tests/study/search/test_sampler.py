"""Samplers: each makes of earlier trials what its method does, and the same again."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import optuna
import pytest

from ledger.trial import Trial
from study.config.samplers import SAMPLERS
from study.config.search_settings import SearchSettings
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.search.sampler import observations, search_space, suggest

SPACE = search_space(SearchSettings(options={"clip": [None, 3.0]}), "sldd", fixed_delta=True)


def _trial(outer_lr: float, best: float) -> Trial:
    spec = TrialSpec(
        Cell("net", "sldd", "as_is"), "search", 0, outer_lr, inner_lr=0.02, options={"clip": None}, task="multilabel"
    )
    score = 1 - abs(math.log(outer_lr / best))
    return Trial(Path(), spec.to_json(), {"status": "done", "validation": {"auc": score}})


def _earlier(best: float) -> list[Trial]:
    return [_trial(0.01 * 10 ** (number / 11), best) for number in range(12)]


def _rates(sampler: str, best: float) -> list[float]:
    return [suggest(f"0/cell/{number}", SPACE, _earlier(best), sampler)["outer_lr"] for number in range(8)]


def test_a_threshold_that_is_best_beyond_the_range_counts_as_its_end() -> None:
    space = search_space(SearchSettings(delta=(0.05, 0.95)), "sldd", fixed_delta=False)
    curve = {"delta": [0.6, 1.0], "hm": [0.5, 0.8]}
    validation = {"hm": 0.8, "auc": 0.7, "patch_accuracy": 0.5, "curve": curve}
    spec = TrialSpec(Cell("net", "sldd", "as_is"), "search", 0, 0.02, inner_lr=0.02, delta=0.3)
    trial = Trial(Path(), spec.to_json(), {"status": "done", "delta": 0.99, "validation": validation})
    seen = [(each.params["delta"], each.value) for each in observations(trial, space)]
    assert seen == [(0.3, 0.5), (0.95, 0.8)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_suggestion_follows_from_the_name_and_the_earlier_trials(sampler: str) -> None:
    first, *others = (suggest(name, SPACE, _earlier(0.02), sampler) for name in ("0/a/5", "0/a/5", "0/a/6"))
    assert first == others[0] != others[1]
    assert first.keys() == SPACE.keys()
    assert 0.01 <= first["outer_lr"] <= 0.1
    assert first["clip"] in (None, 3.0)


@pytest.mark.parametrize(("sampler", "learns"), [("tpe", True), ("gp", True), ("random", False)])
def test_what_was_best_attracts_all_but_chance(sampler: str, learns: bool) -> None:
    low, high = _rates(sampler, best=0.012), _rates(sampler, best=0.08)
    assert (low != high) == learns
    assert (math.prod(low) < math.prod(high)) == learns


def test_a_line_of_the_table_adds_a_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "again", lambda _: SAMPLERS["random"]("0/a/0"))
    assert suggest("0/a/1", SPACE, [], "again") == suggest("0/a/0", SPACE, [], "random")


def test_sobol_points_of_a_cell_fill_the_ranges() -> None:
    points = [suggest(f"0/cell/{number}", SPACE, [], "qmc") for number in range(16)]
    rates = sorted(math.log10(point["outer_lr"]) for point in points)
    assert all(sum(-2 + part / 8 <= rate < -2 + (part + 1) / 8 for rate in rates) == 2 for part in range(8))
    assert {point["clip"] for point in points} == {None, 3.0}


def test_studies_from_before_the_choice_go_on_with_the_same_suggestions() -> None:
    """TPE over all parameters at once, seeded by the trial's name, after four observations at random."""
    sampler = optuna.samplers.TPESampler(seed=zlib.crc32(b"7/cell/9"), n_startup_trials=4, multivariate=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([seen for trial in _earlier(0.03) for seen in observations(trial, SPACE)])
    expected = study.ask(dict(SPACE)).params
    assert suggest("7/cell/9", SPACE, _earlier(0.03), SearchSettings().sampler) == expected
