"""Chains as cells that start from one another."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ledger.ledger import Ledger
from sldd.errors import InputError
from study.config.cells import cells
from study.config.loader import parse
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.grid.axes import Cell
from study.grid.chains import chained, check_chains, starts_from, with_stages
from study.search.cell_search import CellSearch
from tests.conftest import OpenLedger

SOURCES = {"nih": {"source": "nih"}, "chexpert": {"source": "chexpert"}}


def _cells(**block: Any) -> list[Cell]:
    tree = {"backbone": "test_resnet", "images": 1, "method": "train", "start": "xavier", **block}
    config = parse({"name": "x", "task": "multilabel", "sources": SOURCES, "grid": tree})
    return with_stages(cells(config.grid, config.confirm.folds, config.task))


def _names(found: list[Cell]) -> list[str]:
    return [cell.name.removeprefix("test_resnet-as_is-train-whole").removeprefix("-") for cell in found]


def test_each_cell_comes_after_those_that_it_starts_from() -> None:
    found = _cells(chain=[[], ["nih", "chexpert"], ["nih"]], transfer=["regular", "mixed", "co_trained"])
    assert _names(found) == [
        "",
        "on=nih",
        "regular-nih-on=chexpert",
        "regular-nih-chexpert",
        "on=chexpert",
        "mixed-nih-chexpert",
        "on=nih=chexpert",
        "co_trained-nih-chexpert",
        "regular-nih",
    ]
    by_name = dict(zip(_names(found), found, strict=True))
    assert starts_from(by_name["regular-nih-chexpert"]) == [by_name["regular-nih-on=chexpert"]]
    assert starts_from(by_name["regular-nih-on=chexpert"]) == [by_name["on=nih"]]
    assert starts_from(by_name["mixed-nih-chexpert"]) == [by_name["on=nih"], by_name["on=chexpert"]]
    assert starts_from(by_name["co_trained-nih-chexpert"]) == [by_name["on=nih=chexpert"]]
    assert starts_from(by_name["on=nih"]) == []
    assert chained(found) == ["nih", "chexpert"]


def test_published_weights_come_first_or_are_a_body() -> None:
    regular, mixed = ["pretrained", "nih"], ["pretrained", "chexpert"]
    stage, cell, other, both = [
        *_cells(chain=[regular]),
        *_cells(chain=[mixed], transfer="mixed"),
    ]
    assert (stage.start, stage.chain, stage.stage) == ("pretrained", (), "nih")
    assert (cell.start, cell.chain, cell.transfer) == ("pretrained", ("nih",), "regular")
    assert (other.start, other.stage) == ("xavier", "chexpert")
    assert starts_from(both) == [None, other]
    (alone,) = _cells(chain=["pretrained"])
    assert (alone.start, alone.chain, alone.transfer) == ("pretrained", (), None)


def test_stages_are_not_folded() -> None:
    tree = {"backbone": "test_resnet", "images": 1, "method": "train", "start": "xavier", "chain": ["nih"]}
    config = parse({"name": "x", "task": "multilabel", "sources": SOURCES, "grid": tree, "confirm": {"folds": 3}})
    found = with_stages(cells(config.grid, config.confirm.folds, config.task))
    assert _names(found) == ["on=nih", "regular-nih-f0", "regular-nih-f1", "regular-nih-f2"]


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"chain": ["nihh"]}, "grid.chain: 'nihh' is none of sources, of which there are: nih, chexpert"),
        ({"chain": ["nih", "pretrained"]}, "pretrained weights can only come first"),
    ],
)
def test_unknown_collections(block: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_chains(_cells(**block), SOURCES)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"task": "patches"}, "grid.chain: transfer is ordinary training"),
        ({"task": "multilabel", "sources": {"NIH 14": {}}}, "a collection is called by small letters"),
        (
            {"task": "multilabel", "sources": {"nih": {"sauce": "nih"}}},
            "unknown setting sources.nih.sauce; did",
        ),
    ],
)
def test_settings_that_do_not_go_together(tree: dict[str, Any], says: str) -> None:
    grid = {"backbone": "test_resnet", "images": 1, "method": "train", "start": "xavier", "chain": ["nih"]}
    with pytest.raises(InputError, match=says):
        parse({"name": "x", "grid": grid, **tree})


def test_a_cell_waits_for_the_network_that_it_starts_from(open_ledger: OpenLedger, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "x")
    stage, cell = _cells(chain=["nih"])

    def search(of: Cell, *after: CellSearch | None) -> CellSearch:
        confirm = ConfirmSettings(repeats=1)
        return CellSearch(of, SearchSettings(trials=1), confirm, ledger, seed=0, task="multilabel", after=after)

    def finish(status: str = "done") -> None:
        trial = first.next()
        assert trial is not None
        assert second.next() is None
        assert not second.finished
        validation = {"auc": 0.5, "average_precision": 0.1, "hamming_loss": 0.1}
        trial.result = {"status": status, "validation": validation, "test": validation, "seconds": 1.0, "history": []}
        first.ended(trial, given_up=False)

    first = search(stage)
    second = search(cell, first, None)
    finish()
    finish()
    assert first.finished
    begun = second.next()
    assert begun is not None
    assert begun.config["starts_from"] == [f"{stage.name}/1", None]


def test_a_cell_whose_start_failed_is_given_up(open_ledger: OpenLedger, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "x")
    stage, cell = _cells(chain=["nih"])
    settings = (SearchSettings(trials=1), ConfirmSettings(repeats=1), ledger)
    first = CellSearch(stage, *settings, seed=0, task="multilabel")
    second = CellSearch(cell, *settings, seed=0, task="multilabel", after=[first])
    trial = first.next()
    assert trial is not None
    trial.result = {"status": "failed", "error": "no"}
    first.ended(trial, given_up=True)
    assert first.finished
    assert second.finished
    assert second.next() is None
    assert second.state.remaining == 0


def _finish(ledger: Ledger, *searches: CellSearch, auc: dict[str, float] | None = None) -> list[str]:
    """Run all that is left; a trial is worth ``auc`` by its index, or 0.5. The names of the trials, as they began."""
    begun = []
    while any(not search.finished for search in searches):
        for search in searches:
            trial = search.next()
            if trial is None:
                continue
            begun.append(trial.config["trial"])
            value = (auc or {}).get(trial.config["trial"], 0.5)
            scores = {"auc": value, "average_precision": 0.1, "hamming_loss": 0.1}
            trial.result = {"status": "done", "validation": scores, "test": scores, "seconds": 1.0, "history": []}
            (trial.folder / "result.json").write_text(json.dumps(trial.result))
            search.ended(trial, given_up=False)
    return begun


def test_a_longer_search_of_an_earlier_cell_makes_the_later_ones_begin_anew(
    open_ledger: OpenLedger, tmp_path: Path
) -> None:
    """Three cells in a row, a longer search each time: no trial has a start that is no longer confirmed."""
    last, middle, first = reversed(_cells(chain=[["nih", "chexpert"]]))

    def searches(trials: int) -> tuple[Ledger, list[CellSearch]]:
        ledger, made = open_ledger(tmp_path / "x"), []
        for cell in (first, middle, last):
            settings = SearchSettings(trials=trials), ConfirmSettings(repeats=2)
            after = made[-1:]
            made.append(CellSearch(cell, *settings, ledger, seed=0, task="multilabel", after=after))
        return ledger, made

    names = [cell.name for cell in (first, middle, last)]
    ledger, made = searches(1)
    assert len(_finish(ledger, *made)) == 9
    ledger, made = searches(1)
    assert _finish(ledger, *made) == [], "nothing is left to do"
    ledger, made = searches(2)
    assert sorted(_finish(ledger, *made)) == sorted(f"{name}/3" for name in names), "the longer search found no better"
    ledger, made = searches(3)
    better = {f"{names[0]}/4": 0.9}
    begun = _finish(ledger, *made, auc=better)
    assert len(begun) == (1 + 2) + (3 + 2) * 2
    assert len(begun) == len(set(begun))
    assert not {name for name in begun if int(name.rpartition("/")[2]) < 4}, "no name is given twice"
    ledger, made = searches(3)
    assert all(search.finished for search in made)
    for earlier, later in pairwise(made):
        confirmed = [trial.config["trial"] for trial in earlier.confirmed]
        assert {trial.config["starts_from"][0] for trial in ledger.trials[later.cell.name]} == {confirmed[0]}


def test_an_earlier_cell_that_only_gains_a_seed_costs_the_later_ones_nothing(
    open_ledger: OpenLedger, tmp_path: Path
) -> None:
    cell, stage = reversed(_cells(chain=["nih"]))

    def searches() -> tuple[Ledger, list[CellSearch]]:
        ledger = open_ledger(tmp_path / "x")
        settings = SearchSettings(trials=1), ConfirmSettings(repeats=2), ledger
        first = CellSearch(stage, *settings, seed=0, task="multilabel")
        return ledger, [first, CellSearch(cell, *settings, seed=0, task="multilabel", after=[first])]

    ledger, made = searches()
    _finish(ledger, *made)
    failed = ledger.folder / "trials" / stage.name / "1" / "result.json"
    failed.write_text(json.dumps({"status": "failed", "error": "no room"}))
    later = ledger.trials[cell.name]
    for trial in later:  # as they would have begun where only the second seed was there
        path = trial.folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"starts_from": [f"{stage.name}/2"]}))
    ledger, made = searches()
    assert _finish(ledger, *made) == [f"{stage.name}/1"], "the failed seed is tried again, and that is all"
