"""Searched settings of ledgers whose search trials were good at known settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.records.records import read_study
from analysis.stats import searched as module
from analysis.stats.importance import FEWEST, Importance
from analysis.stats.searched import comparable, searched_settings
from tests.analysis.conftest import Ledger

BEST_RATE = 0.03


def searched_study(written: Ledger, networks: int = 6, trials: int = 9, method: str = "sldd", **given: Any) -> Ledger:
    """Networks of which each scores by how near the outer rate is to `BEST_RATE`; the inner rate does nothing."""
    rng = np.random.default_rng(1)
    for network in range(networks):
        cell = written.cell(f"net{network}", 1000 * 4**network, 3, cell=f"{method}{network}", method=method)
        for index in range(trials):
            outer, inner = 0.01 * 10 ** rng.random(), 0.005 * 16 ** rng.random()
            trial = written.trial(cell, index, "search", outer_lr=outer, inner_lr=inner, **given)
            score = 0.9 - 0.1 * network - 0.3 * math.log(outer / BEST_RATE) ** 2
            written.end(trial, validation={"hm": 0.5, "auc": score, "patch_accuracy": score})
    return written


def frame_of(folder: Path) -> pd.DataFrame:
    return searched_settings(read_study(folder))


@pytest.fixture
def rates(ledger: Callable[..., Ledger]) -> Ledger:
    return searched_study(ledger())


def test_the_rate_that_mattered_is_told_with_the_range_of_the_best(rates: Ledger) -> None:
    frame = frame_of(rates.folder)
    assert frame["third"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert frame["networks"].tolist() == [6, 6, 2, 2, 2, 2, 2, 2]
    outer, inner = frame.iloc[0], frame.iloc[1]
    assert (outer["setting"], outer["trials"], outer["best"], outer["least"], outer["most"]) == (
        "outer_lr", 48, 12, 1000, 1000 * 4**5,
    )  # fmt: skip
    assert outer["told"]
    assert 0.018 < outer["low"] < BEST_RATE < outer["high"] < 0.05
    assert pd.isna(outer["edge"])
    assert outer["importance"] > 0.2 > inner["importance"]
    assert not inner["told"]
    assert pd.isna(inner["low"])
    # A third of the networks has 16 trials, of which nothing is said.
    assert frame["importance"].notna().tolist() == [True] * 2 + [False] * 6


def test_test_patients_and_confirm_trials_are_not_looked_at(rates: Ledger) -> None:
    before = frame_of(rates.folder)
    for path in sorted(rates.folder.glob("trials/*/*/result.json")):
        result = json.loads(path.read_text())
        path.write_text(json.dumps(result | {"test": {"hm": 0.1, "auc": 1 - result["validation"]["auc"]}}))
    for cell in ("sldd0", "sldd1"):
        rates.done(cell, 50, hm=1.0)
    pd.testing.assert_frame_equal(frame_of(rates.folder), before)


def test_under_the_papers_protocol_nothing_is_said(ledger: Callable[..., Ledger]) -> None:
    assert frame_of(searched_study(ledger(), protocol="paper").folder).empty


def test_the_middle_of_all_ranges_tells_no_setting_from_another(ledger: Callable[..., Ledger]) -> None:
    written = ledger()
    for network in range(3):
        cell = written.cell(f"net{network}", 1000, 3, cell=f"cell{network}")
        for index, inner in ((0, 0.02), (1, 0.01), (2, 0.04)):
            trial = written.trial(cell, index, "search", outer_lr=0.02, inner_lr=inner)
            written.end(trial, validation={"hm": 0.5, "auc": inner, "patch_accuracy": 0.5})
    written.cell("big", 10**9, 3, cell="refused", refused="too large")
    # One setting is searched: its middle is a value like any other.
    assert len(comparable(read_study(written.folder))) == 9
    trial = written.trial("cell0", 3, "search", outer_lr=0.05, inner_lr=0.02)
    written.end(trial, validation={"hm": 0.5, "auc": 0.7, "patch_accuracy": 0.5})
    kept = comparable(read_study(written.folder))
    assert kept["trial"].tolist() == ["cell0/3", "cell0/2", "cell0/1", "cell1/2", "cell1/1", "cell2/2", "cell2/1"]


def test_the_first_search_trial_is_the_middle_also_where_confirm_trials_came_before(
    ledger: Callable[..., Ledger],
) -> None:
    """As in a study that began without a search."""
    written = ledger()
    cell = written.cell("net", 1000, 3, cell="cell")
    written.done(cell, 0, "confirm")
    for index, rate in ((1, 0.02), (2, 0.01), (10, 0.04)):
        trial = written.trial(cell, index, "search", outer_lr=rate, inner_lr=rate)
        written.end(trial, validation={"hm": 0.5, "auc": rate, "patch_accuracy": 0.5})
    assert comparable(read_study(written.folder))["trial"].tolist() == ["cell/10", "cell/2"]


def test_who_diverges_is_last_and_who_is_alone_is_left_out(ledger: Callable[..., Ledger]) -> None:
    written = ledger()
    cell = written.cell("net", 10, 1, cell="cell")
    for index, (rate, status) in enumerate([(0.01, "done"), (0.02, "diverged"), (0.03, "done"), (0.04, "failed")]):
        trial = written.trial(cell, index, "search", outer_lr=rate, inner_lr=None)
        scores = {"hm": 0.0, "auc": rate, "patch_accuracy": None}
        written.end(trial, status=status, validation=scores if status == "done" else None)
    alone = written.cell("other", 10, 1, cell="alone")
    written.done(alone, 0, "search")
    assert comparable(read_study(written.folder))["trial"].tolist() == ["cell/2", "cell/0", "cell/1"]


def test_an_option_of_distill_is_a_choice(ledger: Callable[..., Ledger]) -> None:
    written = ledger()
    for network in range(4):
        cell = written.cell(f"net{network}", 1000, 3, cell=f"cell{network}")
        for index in range(9):
            options = {"labels": ["softmax", "raw"][index % 2], "clip": None}
            trial = written.trial(cell, index, "search", options=options)
            score = 0.5 + 0.01 * index - 0.2 * (options["labels"] == "raw")
            written.end(trial, validation={"hm": 0.5, "auc": score, "patch_accuracy": score})
    study = read_study(written.folder)
    assert study.records["options"].iloc[1] == '{"labels": "raw", "clip": null}'
    frame = searched_settings(study)
    assert frame["setting"].tolist()[:1] == ["options.labels"]  # clip had one value
    assert frame["choice"].iloc[0] == '"softmax"'


def test_thirds_are_of_networks_by_size_in_whatever_order_they_were_run() -> None:
    rows = pd.DataFrame({"backbone": list("cabfedc"), "parameters": [30, 10, 20, 60, 50, 40, 30]})
    assert module._groups(rows) == [list("abcdef"), ["a", "b"], ["c", "d"], ["e", "f"]]
    assert module._groups(rows[rows["parameters"] <= 20]) == [["a", "b"]]


def test_a_third_of_the_networks_is_told_at_a_third_of_the_level(
    ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    def importances(_: Any, values: dict[str, Any], __: Any) -> dict[str, Importance]:
        return {name: Importance(0.5, 0.4, 0.6, {"outer_lr": 0.03, "inner_lr": 0.01}[name]) for name in values}

    monkeypatch.setattr(module, "importances", importances)
    frame = frame_of(searched_study(ledger(), trials=11).folder)
    assert frame["trials"].tolist() == [60, 60] + [20] * 6
    assert frame[["least", "most"]].drop_duplicates().to_numpy().tolist() == [
        [1000, 1000 * 4**5], [1000, 4000], [16_000, 64_000], [256_000, 1_024_000],
    ]  # fmt: skip
    assert frame["told"].tolist() == [True, True] + [False, True] * 3


@pytest.mark.parametrize(("best", "edge"), [(0.01, "lower"), (0.1, "higher")])
def test_rates_that_end_where_the_tried_ones_do_may_be_better_beyond(
    ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch, best: float, edge: str
) -> None:
    monkeypatch.setitem(globals(), "BEST_RATE", best)
    assert frame_of(searched_study(ledger(), trials=21).folder)["edge"].iloc[0] == edge


@pytest.mark.parametrize(("trials", "said"), [(FEWEST // 4, True), (FEWEST // 4 - 1, False)])
def test_with_too_few_trials_nothing_is_said(ledger: Callable[..., Ledger], trials: int, said: bool) -> None:
    frame = frame_of(searched_study(ledger(), networks=4, trials=trials + 1).folder)
    assert frame["trials"].iloc[0] == 4 * trials
    assert frame["importance"].notna().any() == said
