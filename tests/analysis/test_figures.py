from __future__ import annotations

import pandas as pd
import pytest

from analysis import figures
from analysis.curves import hm_by_delta_figure, hm_by_delta_frame, search_figure, search_frame, shown_trials
from analysis.records import read_study
from tests.analysis.conftest import voters


@pytest.fixture
def mixed(ledger):
    """Two label settings; a network that works, one that never does, one not confirmed; a diverged seed."""
    study = ledger("mixed")
    for init in ("one_hot", "uniform"):
        for name, parameters, hms in (("good", 1000, (0.6, 0.9)), ("never", 2000, (0.2, 0.3)), ("late", 4000, ())):
            for images in (1, 2):
                cell = study.cell(name, parameters, images, cell=f"{name}-{images}-{init}", label_init=init)
                study.done(cell, 0, "search", hm=0.99)
                if hms:
                    study.done(cell, 1, hm=hms[images - 1] - 0.05)
                    study.done(cell, 2, hm=hms[images - 1] + 0.05)
    study.end(study.trial("good-1-one_hot", 3), status="diverged")
    return read_study(study.folder)


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


def test_minimum_draws_censored_backbones_hollow_at_the_top_with_words(mixed):
    frame = figures.minimum_frame(mixed)
    assert frame["top"].unique().tolist() == [3]
    drawn = figures.minimum_figure(frame)
    hollow = [trace for trace in drawn.data if str(trace.name).endswith("no count suffices")]
    assert len(hollow) == 2
    for trace in hollow:
        assert trace.marker.symbol.endswith("-open")
        assert all(height == pytest.approx(3, abs=0.1) for height in trace.y)
    assert [text for trace in hollow for text in trace.text if text] == [
        "never<br>no count suffices",
        "late<br>not confirmed yet",
    ]
    solid = [trace for trace in drawn.data if str(trace.name).endswith("smallest by the papers' rule")]
    assert [height for trace in solid for height in trace.y] == [2, 2]
    one_hot, uniform = (trace.x[0] for trace in solid)
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
            "best_images": pd.array([3, 3, 3, None], "Int64"),
            "best_hm": [0.85, 0.85, 0.3, None],
            "tried": ["1, 2, 3"] * 3 + [""],
            "level": 0.95,
            "censored": [False, True, True, True],
            "reason": ["", "no count is shown to suffice", "best HM 0.30 is under 0.5", "no confirm trial is done"],
            "series": "",
            "top": 4,
        }
    )
    bars, points, hollow = figures.minimum_figure(answer).data
    assert bars.y == (1, 3, None, 2, 4, None, 4, 4, None)
    assert bars.marker.symbol[1::3] == ("line-ew", "triangle-up", "triangle-up")
    assert points.y == (2, 2)
    assert hollow.y == (4, 4)
    assert [text.rsplit("95 % level: ")[1].split("<br>")[0] for text in (*points.hovertext, *hollow.hovertext)] == [
        "between 1 and 3",
        "between 2 and more than 3",
        "more than 3",
        "unknown",
    ]


def test_many_counts_are_ticked_only_where_something_stands(ledger):
    study = ledger()
    for images, hm in ((1, 0.5), (20, 0.9), (50, 0.9)):
        study.done(study.cell("net", 10, images), 0, hm=hm, patients=voters(hm, 100))
    drawn = figures.minimum_figure(figures.minimum_frame(read_study(study.folder)))
    assert drawn.layout.yaxis.tickvals == (20,)


def test_an_hm_has_its_bootstrap_interval_where_it_has_one(mixed, ledger):
    drawn = figures.hm_by_images_figure(figures.hm_by_images_frame(mixed))
    assert "(95 % interval over patients and seeds)" in drawn.data[0].hovertext[0]
    study = ledger("voteless")
    study.done(study.cell("net", 10, 1), 0, patients=[])
    drawn = figures.hm_by_images_figure(figures.hm_by_images_frame(read_study(study.folder)))
    assert "interval" not in drawn.data[0].hovertext[0]


def test_names_are_drawn_letter_for_letter(ledger):
    study = ledger()
    study.done(study.cell("<b>bold", 10, 1), 0)
    drawn = figures.minimum_figure(figures.minimum_frame(read_study(study.folder)))
    assert drawn.data[1].text == ("&lt;b&gt;bold",)


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
        (figures.minimum_frame, figures.minimum_figure),
        (hm_by_delta_frame, hm_by_delta_figure),
        (search_frame, search_figure),
    ],
)
def test_an_empty_study_has_empty_figures(ledger, numbers, draw):
    frame = numbers(read_study(ledger().folder))
    assert isinstance(frame, pd.DataFrame)
    assert frame.empty
    draw(frame)
