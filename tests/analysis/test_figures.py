from __future__ import annotations

import pandas as pd
import pytest

from analysis import figures
from analysis.answer_figure import minimum_figure, minimum_frame
from analysis.curves import hm_by_delta_figure, hm_by_delta_frame, search_figure, search_frame, shown_trials
from analysis.records import read_study


def test_hm_by_parameters_averages_confirm_seeds(mixed):
    frame = figures.hm_by_parameters_frame(mixed).set_index(["backbone", "series"])
    row = frame.loc[("good", "1 image, labels one_hot")]
    assert (row["hm"], row["hm_low"], row["hm_high"]) == pytest.approx((0.6, 0.55, 0.65))
    assert row["seeds"] == 2
    assert len(frame) == 8
    assert "late" not in frame.index.get_level_values("backbone")


def test_hm_by_parameters_draws_a_trace_an_image_count_with_bars_to_the_extremes(demo):
    drawn = figures.hm_by_parameters_figure(figures.hm_by_parameters_frame(read_study(demo)))
    assert [trace.name for trace in drawn.data] == ["1 image", "2 images", "3 images"]
    assert drawn.layout.xaxis.type == "log"
    for trace in drawn.data:
        assert trace.x == (118_403, 470_211, 2_310_659)
        assert min(trace.error_y.array) >= 0
        assert "2 seeds" in trace.hovertext[0]


def test_hm_by_images_marks_the_smallest_sufficient_count(mixed):
    frame = figures.hm_by_images_frame(mixed)
    assert frame[frame["smallest"]][["backbone", "images"]].to_numpy().tolist() == [["good", 2], ["good", 2]]
    drawn = figures.hm_by_images_figure(frame)
    assert [trace.name for trace in drawn.data] == [
        "good, labels one_hot",
        "good, labels uniform",
        "never, labels one_hot",
        "never, labels uniform",
        "smallest count by the papers' rule",
    ]
    one_hot, uniform = drawn.data[:2]
    assert one_hot.line.color == uniform.line.color
    assert one_hot.line.dash != uniform.line.dash


def test_an_hm_has_its_bootstrap_interval_where_it_has_one(mixed, ledger):
    drawn = figures.hm_by_images_figure(figures.hm_by_images_frame(mixed))
    assert "(95 % interval over patients and seeds)" in drawn.data[0].hovertext[0]
    study = ledger("voteless")
    study.done(study.cell("net", 10, 1), 0, patients=[])
    drawn = figures.hm_by_images_figure(figures.hm_by_images_frame(read_study(study.folder)))
    assert "interval" not in drawn.data[0].hovertext[0]


def test_hm_by_delta_has_the_whole_curve_and_its_marks(demo):
    study = read_study(demo)
    frame = hm_by_delta_frame(study)
    assert frame["trial"].unique().tolist() == [f"{cell['cell']}/1" for cell in study.cells]
    for (trial, split), rows in frame.groupby(["trial", "split"]):
        scored = study.result(trial)[split]
        points = rows.set_index("kind")[["delta", "hm"]]
        assert points.loc["curve", "hm"].tolist() == scored["curve"]["hm"]
        assert points.loc["chosen"].tolist() == [study.result(trial)["delta"], scored["hm"]]
        assert points.loc["papers"].tolist() == [0.4, scored["hm_at_0.4"]]
        assert points.loc["best", "hm"] == max(scored["curve"]["hm"]) >= scored["hm"]


def test_hm_by_delta_steps_up_before_along_and_shows_one_cell(demo):
    drawn = hm_by_delta_figure(hm_by_delta_frame(read_study(demo)))
    shown = [trace for trace in drawn.data if trace.visible]
    assert len(shown) == 5
    assert {trace.meta for trace in shown} == {"test_convnet-m1-one_hot-as_is-sldd-s1e1"}
    assert [trace.line.shape for trace in shown[:2]] == ["vh", "vh"]


def test_the_shown_trial_is_the_first_done_confirm_trial(ledger):
    study = ledger()
    cell = study.cell("net", 1, 1)
    study.done(cell, 0, "search")
    study.end(study.trial(cell, 1), status="failed", error="no")
    study.done(cell, 10)
    study.done(cell, 2)
    shown = shown_trials(read_study(study.folder))
    assert shown["trial"].tolist() == [f"{cell}/2"]
    assert shown["label"].tolist() == ["net · 1 image"]


def test_a_rotated_cell_is_shown_by_its_first_done_fold_which_is_named(ledger):
    study = ledger(config={"confirm": {"folds": 3}})
    _, second, third = study.rotated("net", 1, 1, 3)
    (only, *_) = study.rotated("net", 1, 2, 3)
    study.done(third, 1)
    study.done(second, 1)
    study.done(only, 1)
    shown = shown_trials(read_study(study.folder))
    assert shown["trial"].tolist() == [f"{second}/1", f"{only}/1"]
    assert shown["label"].tolist() == ["net · 1 image · fold 2 of 3", "net · 2 images · fold 1 of 3"]


def test_the_search_shows_validation_scores_of_ended_search_trials(ledger):
    study = ledger()
    cell = study.cell("net", 1, 1)
    study.done(cell, 0, "search", hm=0.7)
    study.end(study.trial(cell, 1, "search"), status="diverged", error="loss is not finite")
    study.trial(cell, 2, "search")
    study.done(cell, 3, "confirm")
    frame = search_frame(read_study(study.folder))
    assert frame["trial"].tolist() == [f"{cell}/0", f"{cell}/1"]
    scored, symbol, lost = search_figure(frame).data
    assert (scored.marker.color, scored.showlegend) == ((0.7,), False)
    assert (symbol.name, symbol.x) == ("net", (None,))
    assert (lost.name, len(lost.x)) == ("gave no score", 1)
    assert "loss is not finite" in lost.hovertext[0]


@pytest.mark.parametrize(
    ("numbers", "draw"),
    [
        (figures.hm_by_parameters_frame, figures.hm_by_parameters_figure),
        (figures.hm_by_images_frame, figures.hm_by_images_figure),
        (minimum_frame, minimum_figure),
        (hm_by_delta_frame, hm_by_delta_figure),
        (search_frame, search_figure),
    ],
)
def test_an_empty_study_has_empty_figures(ledger, numbers, draw):
    frame = numbers(read_study(ledger().folder))
    assert isinstance(frame, pd.DataFrame)
    assert frame.empty
    draw(frame)
