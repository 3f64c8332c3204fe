"""Chains as cells that start from one another."""

from __future__ import annotations

from typing import Any

import pytest

from sldd.errors import InputError
from study.cell_search import CellSearch, ConfirmSettings
from study.chains import chained, check_chains, starts_from, with_stages
from study.config import parse
from study.grid import Cell, cells
from study.suggest import SearchSettings
from tests.study.conftest import OpenLedger

SOURCES = {"nih": {"source": "nih"}, "chexpert": {"source": "chexpert"}}


def _cells(**block: Any) -> list[Cell]:
    tree = {"backbone": "test_resnet", "images": 1, "method": "train", **block}
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
    tree = {"backbone": "test_resnet", "images": 1, "method": "train", "chain": ["nih"]}
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
    grid = {"backbone": "test_resnet", "images": 1, "method": "train", "chain": ["nih"]}
    with pytest.raises(InputError, match=says):
        parse({"name": "x", "grid": grid, **tree})


def test_a_cell_waits_for_the_network_that_it_starts_from(open_ledger: OpenLedger, tmp_path: Any) -> None:
    ledger = open_ledger(tmp_path / "x")
    stage, cell = _cells(chain=["nih"])

    def search(of: Cell, *after: CellSearch | None) -> CellSearch:
        confirm = ConfirmSettings(repeats=1)
        facts = {"task": "multilabel"}
        return CellSearch(of, SearchSettings(trials=1), confirm, ledger, seed=0, facts=facts, after=after)

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


def test_a_cell_whose_start_failed_is_given_up(open_ledger: OpenLedger, tmp_path: Any) -> None:
    ledger = open_ledger(tmp_path / "x")
    stage, cell = _cells(chain=["nih"])
    settings = (SearchSettings(trials=1), ConfirmSettings(repeats=1), ledger)
    first = CellSearch(stage, *settings, seed=0, facts={"task": "multilabel"})
    second = CellSearch(cell, *settings, seed=0, facts={"task": "multilabel"}, after=[first])
    trial = first.next()
    assert trial is not None
    trial.result = {"status": "failed", "error": "no"}
    first.ended(trial, given_up=True)
    assert first.finished
    assert second.finished
    assert second.next() is None
    assert second.remaining == 0
