"""The answer drawn: points, bars, arrows and the line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.figures.minimum import growth_frame, minimum_figure, minimum_frame
from analysis.records.records import read_study
from tests.analysis.conftest import voters


def test_minimum_draws_censored_backbones_hollow_at_the_top_with_words(mixed):
    frame = minimum_frame(mixed)
    assert frame["top"].unique().tolist() == [3]
    drawn = minimum_figure(frame)
    hollow = [trace for trace in drawn.data if str(trace.name).endswith("none shown to suffice")]
    assert len(hollow) == 2
    for trace in hollow:
        assert trace.marker.symbol.endswith("-open")
        assert all(height == pytest.approx(3, abs=0.1) for height in trace.y)
    assert [text for trace in hollow for text in trace.text if text] == [
        "never<br>not judged",
        "late<br>not confirmed yet",
    ]
    diamonds = [trace for trace in drawn.data if str(trace.name).endswith("by the papers' rule, on means alone")]
    assert [height for trace in diamonds for height in trace.y] == [2, 2]
    assert [text for trace in diamonds for text in trace.text if text] == ["good"]
    one_hot, uniform = (trace.x[0] for trace in diamonds)
    assert one_hot < 1000 < uniform, "settings stand side by side"


def test_minimum_bars_span_what_is_open_with_an_arrow_where_nothing_closes_it():
    answer = pd.DataFrame(
        {
            "backbone": ["closed", "open", "never", "late"],
            "parameters": [1000, 2000, 3000, 4000],
            "minimum_images": pd.array([3, None, None, None], "Int64"),
            "at_least": pd.array([1, 2, 4, None], "Int64"),
            "by_points": pd.array([2, 2, None, None], "Int64"),
            "largest_images": pd.array([3, 3, 3, None], "Int64"),
            "hm_by_points": [0.8, 0.8, None, None],
            "minimum_hm": [0.8, None, None, None],
            "trained_hm": [0.86, 0.86, 0.86, None],
            "outcome": ["shown", "undecided", "more than tried", "not confirmed"],
            "best_images": pd.array([3, 3, 3, None], "Int64"),
            "best_hm": [0.85, 0.85, 0.3, None],
            "tried": ["1, 2, 3"] * 3 + [""],
            "level": 0.95,
            "censored": [False, True, True, True],
            "reason": ["", "no count is shown to suffice", "every count tried falls short", "no confirm trial is done"],
            "series": "",
            "top": 4,
        }
    )
    bars, diamonds, points, hollow = minimum_figure(answer).data
    assert bars.y == (1, 3, None, 2, 4, None, 4, 4, None)
    assert bars.marker.symbol[1::3] == ("line-ew", "triangle-up", "triangle-up")
    assert diamonds.y == (2, 2)
    assert points.y == (3,)
    assert hollow.y == (4, 4, 4)
    assert [text.split("<br>")[1] for text in hollow.text] == ["undecided", "more than were tried", "not confirmed yet"]
    assert [text.rsplit("95 % level: ")[1].split("<br>")[0] for text in (*points.hovertext, *hollow.hovertext)] == [
        "between 1 and 3",
        "between 2 and more than 3",
        "more than 3",
        "unknown",
    ]


def test_many_counts_are_ticked_only_where_something_stands(ledger):
    study = ledger()
    for images, hm in ((1, 0.5), (20, 0.9), (50, 0.9), (None, 0.9)):
        cell = study.cell("net", 10, images, method="sldd" if images else "train")
        for index in range(2):
            study.done(cell, index, hm=hm, patients=voters(hm, 100))
    drawn = minimum_figure(minimum_frame(read_study(study.folder)))
    assert drawn.layout.yaxis.tickvals == (2, 20)


def test_names_are_drawn_letter_for_letter(ledger):
    study = ledger()
    study.done(study.cell("<b>bold", 10, 1), 0)
    drawn = minimum_figure(minimum_frame(read_study(study.folder)))
    assert drawn.data[-1].text == ("&lt;b&gt;bold",)


def test_a_line_lies_behind_where_three_networks_are_settled():
    answer = pd.DataFrame({"backbone": list("abcd"), "parameters": [1e5, 1e6, 1e7, 1e8], "reason": "", "series": ""})
    answer = answer.assign(lower=[1.0, 1, 2, 3], upper=[1.0, 2, 3, np.inf])
    line = growth_frame(answer)
    assert (line["low"] <= line["images"]).all()
    assert (line["images"] <= line["high"]).all()
    assert line["images"].iloc[0] < line["images"].iloc[-1]
    assert growth_frame(answer.iloc[:2]).empty, "two networks are no line"
    assert growth_frame(answer.assign(series=["x", "x", "y", "y"])).empty


def test_the_papers_six_stand_behind_where_hm_is_drawn(mixed):
    frame = minimum_frame(mixed)
    gray = next(trace for trace in minimum_figure(frame).data if str(trace.name).startswith("as published"))
    assert gray.x == (5_984_915, 11_176_963, 21_285_123, 57_000_643, 134_271_683, 139_581_379)
    assert gray.y == (1, 1, 1, 1, 2, 2)
    assert not any("published" in str(trace.name) for trace in minimum_figure(frame.assign(score="AUC")).data)


def _crowd(count: int) -> pd.DataFrame:
    """Networks of nearly one size, and a far larger last one."""
    return pd.DataFrame(
        {
            "backbone": [f"network_{number}" for number in range(count)],
            "parameters": [1_000_000 + 20_000 * number for number in range(count - 1)] + [100_000_000],
            "minimum_images": pd.array([3] * count, "Int64"),
            "at_least": pd.array([1] * count, "Int64"),
            "by_points": pd.array([2] * count, "Int64"),
            "largest_images": pd.array([3] * count, "Int64"),
            "hm_by_points": 0.8,
            "minimum_hm": 0.8,
            "trained_hm": 0.86,
            "outcome": "shown",
            "best_images": pd.array([3] * count, "Int64"),
            "best_hm": 0.85,
            "tried": "1, 2, 3",
            "level": 0.95,
            "censored": False,
            "reason": "",
            "series": "",
            "top": 4,
        }
    )


def test_names_of_many_networks_do_not_run_into_each_other():
    *_, points = minimum_figure(_crowd(12)).data
    assert [text for text in points.text if text] == ["network_0", "network_1", "network_11"]
    assert points.textposition[:2] == ("top right", "bottom right")
    assert list(points.hovertext)[5].startswith("<b>network_5"), "a name that is left out is in its box"


def test_names_of_more_networks_than_there_is_room_for_are_in_their_boxes_alone():
    *_, points = minimum_figure(_crowd(13)).data
    assert not any(points.text)
    assert all(box.startswith(f"<b>network_{number}") for number, box in enumerate(points.hovertext))
