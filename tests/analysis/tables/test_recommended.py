"""Recommended settings: what is said, what can be copied, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from analysis.page.content import make_content
from analysis.records.records import read_study
from analysis.tables.cli import main
from analysis.tables.recommended import FEW, UNTOLD, recommended_table
from study.config.loader import load
from study.config.methods import METHODS
from study.planning.header import _method
from tests.analysis.conftest import Ledger
from tests.analysis.stats.test_searched import BEST_RATE, searched_study

SEARCH = {"outer_lr": [0.01, 0.1], "train_lr": [0.01, 0.1], "inner_lr": [0.005, 0.08], "receiver_lr": [0.005, 0.08]}


@pytest.fixture
def written(ledger: Callable[..., Ledger]) -> Ledger:
    return searched_study(ledger(config={"search": SEARCH}, methods={"sldd": _method("sldd")}))


def copied(ledger: Ledger) -> list[str]:
    found = recommended_table(read_study(ledger.folder))
    assert found is not None
    return found.rows()[0][-1].split()


def test_a_row_for_all_networks_and_each_third(written: Ledger) -> None:
    found = recommended_table(read_study(written.folder))
    assert found is not None
    assert [column.heading for column in found.columns][2:] == [
        "Outer rate", "Start of inner rates", "For the next study",
    ]  # fmt: skip
    rows = found.rows()
    assert rows[0][:2] == ["all 6 networks, 1 k to 1.02 M parameters", "48, 12 best"]
    assert rows[1] == ["2 networks, 1 k to 4 k parameters", "16", FEW, FEW, ""]
    assert rows[0][3] == UNTOLD
    assert re.fullmatch(r"0\.\d+ to 0\.\d+", rows[0][2])


def test_the_words_narrow_the_next_search(written: Ledger) -> None:
    (word,) = copied(written)
    low, high = load("demo", [word]).search.outer_lr
    assert 0.01 < low < BEST_RATE < high < 0.1


@pytest.mark.parametrize(("method", "within"), [("train", "train_lr"), ("dm", "outer_lr")])
def test_methods_say_what_their_rates_are_called(ledger: Callable[..., Ledger], method: str, within: str) -> None:
    (word,) = copied(
        searched_study(ledger(config={"search": SEARCH}, methods={method: _method(method)}), method=method)
    )
    assert word.startswith(f"search.{within}=[")


def test_the_range_of_a_receiver_has_a_name_of_its_own() -> None:
    assert METHODS["dm"].ranges["inner_lr"] == "receiver_lr"
    ranges = load("demo", ["grid.method=dm", "search.receiver_lr=[0.1,0.2]"]).search
    assert METHODS["dm"].search_space(ranges, {})["inner_lr"].low == 0.1


@pytest.mark.parametrize("search", [SEARCH | {"outer_lr": [0.1, 0.5]}, {"outer_lr": "many"}, None])
def test_rates_of_a_range_that_nobody_knows_are_not_for_copying(ledger: Callable[..., Ledger], search: Any) -> None:
    assert copied(searched_study(ledger(config={"search": search}))) == []


def test_it_stands_in_the_terminal_and_on_the_page(written: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(written.folder)]) == 0
    assert "demo: recommended settings by network size" in capsys.readouterr().out
    content = make_content([read_study(written.folder)])
    page = "".join(section.html for section in content.sections["study-0"])
    assert "Recommended settings by network size" in page
    assert FEW in page
    drawn = content.charts["study-0-importance"]["data"]
    assert drawn[0]["y"] == ["outer rate", "start of inner rates"]
    assert drawn[0]["marker"]["symbol"] == ["circle", "circle-open"]


def test_a_method_with_too_few_trials_has_words_in_the_place_of_a_point(written: Ledger) -> None:
    searched_study(written, networks=1, method="dd")
    chart = make_content([read_study(written.folder)]).charts["study-0-importance"]
    assert [note["text"] for note in chart["layout"]["annotations"]] == ["too few trials to say (8 of 20)"] * 2
    assert len(chart["data"][0]["y"]) == 2


def test_a_study_that_tried_one_setting_has_no_table(demo: Any) -> None:
    assert recommended_table(read_study(demo)) is None
