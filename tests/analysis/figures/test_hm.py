from __future__ import annotations

import pandas as pd
import pytest
import yaml

from analysis.figures import hm as figures
from analysis.figures.cells.threshold_curve import hm_by_delta_figure, hm_by_delta_frame, shown_trials
from analysis.figures.given_away.sharing import sharing_figure, sharing_frame
from analysis.figures.methods import methods_figure, methods_frame
from analysis.figures.minimum import minimum_figure, minimum_frame
from analysis.figures.operating_point import contour, operating_figure, operating_frame
from analysis.figures.search import (
    finished_figure,
    finished_frame,
    parallel_figure,
    rates_figure,
    search_frame,
)
from analysis.published import scored_points
from analysis.records.bootstrap import harmonic_mean
from analysis.records.records import read_study
from tests.analysis.conftest import voters


def test_hm_by_parameters_averages_confirm_seeds(mixed):
    frame = figures.hm_by_parameters_frame(mixed).set_index(["backbone", "series"])
    row = frame.loc[("good", "1 image, labels one_hot")]
    assert (row["hm"], row["hm_low"], row["hm_high"]) == pytest.approx((0.6, 0.55, 0.65))
    assert row["seeds"] == 2
    assert len(frame) == 8
    assert "late" not in frame.index.get_level_values("backbone")


def test_hm_by_parameters_draws_a_trace_an_image_count_with_bars_to_the_extremes(demo):
    drawn = figures.hm_by_parameters_figure(figures.hm_by_parameters_frame(read_study(demo)))
    measured = [trace for trace in drawn.data if trace.legendgroup != "published"]
    assert [trace.name for trace in measured] == ["1 image", "2 images", "3 images"]
    assert drawn.layout.xaxis.type == "log"
    for trace in measured:
        assert trace.x == (118_403, 470_211, 2_310_659)
        assert min(trace.error_y.array) >= 0
        assert "2 seeds" in trace.hovertext[0]


def test_real_images_are_told_from_distilled_ones_though_no_count_has_both(ledger):
    study = ledger()
    for method, images in (("sldd", 8), ("random_real", 3)):
        cell = study.cell("small", 1000, images, cell=method, method=method)
        for seed in (1, 2):
            study.done(cell, seed, hm=0.8)
    frame = figures.hm_by_parameters_frame(read_study(study.folder))
    assert sorted(frame["series"]) == ["3 images, RANDOM REAL", "8 images, SLDD"]


def test_the_papers_points_are_hollow_and_named(demo):
    drawn = figures.hm_by_parameters_figure(figures.hm_by_parameters_frame(read_study(demo)))
    published = [trace for trace in drawn.data if trace.legendgroup == "published"]
    points = {point for trace in published for point in zip(trace.x, trace.y, strict=True)}
    assert points == set(zip(scored_points()["parameters"], scored_points()["hm"], strict=True))
    assert all(trace.marker.symbol.endswith("-open") for trace in published)
    assert [trace.showlegend for trace in published] == [True, False, False]
    colours = {trace.name: trace.marker.color for trace in drawn.data if trace not in published}
    assert [trace.marker.color for trace in published] == list(colours.values()), "an image count has one colour"
    assert "VGG19" in published[0].hovertext[-1]


def test_hm_by_images_rings_the_smallest_count_that_is_shown_to_suffice(ledger):
    study = ledger()
    for images, right in ((1, 0.6), (2, 0.95), (3, 0.95), (None, 0.95)):
        cell = study.cell("net", 10, images, method="sldd" if images else "train")
        for seed in range(3):
            study.done(cell, seed, hm=right, patients=voters(right, 100))
    frame = figures.hm_by_images_frame(read_study(study.folder))
    assert frame[frame["smallest"]]["images"].tolist() == [2]


def test_hm_by_images_draws_a_line_a_network_and_setting(mixed):
    frame = figures.hm_by_images_frame(mixed)
    assert not frame["smallest"].any(), "there is no ordinary training to hold counts against"
    drawn = figures.hm_by_images_figure(frame)
    assert [trace.name for trace in drawn.data] == [
        "good, labels one_hot",
        "good, labels uniform",
        "never, labels one_hot",
        "never, labels uniform",
        "smallest count shown to suffice",
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


def test_hm_by_delta_steps_up_before_along(demo):
    frame = hm_by_delta_frame(read_study(demo))
    shown = hm_by_delta_figure(frame[frame["cell"] == frame["cell"].iloc[0]]).data
    assert len(shown) == 5
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
    scored, symbol, lost = rates_figure(frame).data
    assert (scored.marker.color, scored.showlegend) == ((0.7,), False)
    assert (symbol.name, symbol.x) == ("net", (None,))
    assert (lost.name, len(lost.x)) == ("gave no score", 1)
    assert lost.customdata[0][-1] == "diverged: loss is not finite"
    assert "customdata[4]" in lost.hovertemplate


def test_every_searched_trial_is_a_line_through_its_rates_and_its_hm(ledger):
    study = ledger()
    cell = study.cell("net", 1, 1)
    for place, (outer, hm) in enumerate([(0.001, 0.1), (0.01, 0.9), (0.1, 0.95)]):
        study.end(study.trial(cell, place, "search", outer_lr=outer), validation={"hm": hm}, delta=0.2 + place / 10)
    drawn = parallel_figure(search_frame(read_study(study.folder)))
    assert [trace.name for trace in drawn.data] == ["HM 0.0 to 0.2", "HM 0.8 to 1.0"]
    worst, best = drawn.data
    assert worst.y == (0, 0.5, 0, 0, None)
    assert best.y[:5] == (0.5, 0.5, 0.5, pytest.approx(0.8 / 0.85, abs=1e-3), None)
    assert len(best.x) == len(best.y) == len(best.text) == len(best.meta["keys"]) == 10
    assert [note.text for note in drawn.layout.annotations[:3]] == ["<b>outer rate</b>", "0.1", "0.001"]


def test_trials_over_time_are_in_the_order_in_which_they_finished(ledger):
    study = ledger()
    cell = study.cell("net", 1, 1)
    for place, (minute, hm) in enumerate([(9, 0.5), (3, 0.7), (6, 0.6)]):
        finished = f"2026-11-21T22:{minute:02}:00+00:00"
        study.done(cell, place, "search", hm=hm, finished=finished, seconds=60.0)
    study.done(cell, 3, hm=0.9, finished="2026-11-21T22:12:00+00:00")
    study.done(cell, 4, "search", finished=None)
    frame = finished_frame(read_study(study.folder))
    assert [trial[-1] for trial in frame["trial"]] == ["1", "2", "0", "3"]
    assert (60 * frame["hours"]).tolist() == pytest.approx([1, 4, 7, 10])
    assert frame["best"].tolist()[:3] == [0.7, 0.7, 0.7], "a confirm trial is no part of the search"
    search, confirm, best = finished_figure(frame).data
    assert (len(search.x), len(confirm.x), best.y) == (3, 1, (0.7, 0.7, 0.7))


def test_networks_that_searched_nothing_are_named_by_their_confirm_trials(ledger):
    study = ledger()
    study.done(study.cell("net", 1000, 3), 0, finished="2026-01-01T10:00:00+00:00")
    data = finished_figure(finished_frame(read_study(study.folder))).data
    assert [(trace.name, len(trace.x)) for trace in data if trace.showlegend and len(trace.x)] == [("net", 1)]


@pytest.mark.parametrize("hm", [0.2, 0.7, 0.9])
def test_a_contour_has_one_hm(hm):
    specificity, sensitivity = contour(hm)
    assert harmonic_mean(sensitivity, specificity) == pytest.approx(hm)
    assert max(*specificity, *sensitivity) <= 1 + 1e-9


def test_the_operating_points_are_the_cells(demo):
    study = read_study(demo)
    drawn = operating_figure(operating_frame(study))
    points = [point for trace in drawn.data if trace.hovertext for point in zip(trace.x, trace.y, strict=True)]
    assert len(points) == len(study.cells) + len(scored_points())
    rows = study.records[study.records["cell"] == study.cells[0]["cell"]]
    assert (rows["test_specificity"].mean(), rows["test_sensitivity"].mean()) in points


def test_what_is_shared_is_drawn_against_hm(demo):
    drawn = sharing_figure(sharing_frame(read_study(demo)))
    assert [trace.name for trace in drawn.data] == ["test_convnet", "test_resnet", "test_vgg"]
    assert drawn.data[0].x == (4.096, 8.192, 12.288)
    assert "compression rate" in drawn.data[0].hovertext[0]


def test_methods_are_compared_where_there_are_several(demo, ledger):
    assert methods_frame(read_study(demo)).empty
    study = ledger()
    study.done(study.cell("net", 10, 2), 0, hm=0.6)
    study.done(study.cell("net", 10, 2, cell="net-dd", method="dd"), 0, hm=0.5)
    trained = {"method": "train", "train_classes": "INP", "train_view": "patches", "label_init": None}
    study.done(study.cell("net", 10, None, cell="net-train", **trained), 0, hm=0.9)
    drawn = methods_figure(methods_frame(read_study(study.folder)))
    assert [trace.name for trace in drawn.data] == ["sldd, 2 images", "dd, 2 images", "ordinary training"], (
        "a study from before methods were described in study.yaml"
    )
    described = yaml.safe_load((study.folder / "study.yaml").read_text())
    described["methods"] = {"sldd": {"label": "SLDD"}, "dd": {"label": "DD"}, "train": {"label": "training"}}
    (study.folder / "study.yaml").write_text(yaml.safe_dump(described))
    drawn = methods_figure(methods_frame(read_study(study.folder)))
    assert {trace.name: trace.x for trace in drawn.data} == {
        "SLDD, 2 images": (0.6,),
        "DD, 2 images": (0.5,),
        "ordinary training": (0.9,),
    }


def test_every_point_of_a_figure_has_the_key_of_its_cell(demo):
    study = read_study(demo)
    frames = [
        (figures.hm_by_parameters_frame, figures.hm_by_parameters_figure),
        (figures.hm_by_images_frame, figures.hm_by_images_figure),
        (operating_frame, operating_figure),
        (sharing_frame, sharing_figure),
        (search_frame, rates_figure),
        (search_frame, parallel_figure),
    ]
    for numbers, draw in frames:
        keyed = [trace for trace in draw(numbers(study)).data if trace.meta]
        assert keyed, draw
        for trace in keyed:
            assert len(trace.meta["keys"]) == len(trace.x), draw


@pytest.mark.parametrize(
    ("numbers", "draw"),
    [
        (figures.hm_by_parameters_frame, figures.hm_by_parameters_figure),
        (figures.hm_by_images_frame, figures.hm_by_images_figure),
        (minimum_frame, minimum_figure),
        (hm_by_delta_frame, hm_by_delta_figure),
        (operating_frame, operating_figure),
        (sharing_frame, sharing_figure),
        (methods_frame, methods_figure),
        (search_frame, rates_figure),
        (search_frame, parallel_figure),
        (finished_frame, finished_figure),
    ],
)
def test_an_empty_study_has_empty_figures(ledger, numbers, draw):
    frame = numbers(read_study(ledger().folder))
    assert isinstance(frame, pd.DataFrame)
    assert frame.empty
    draw(frame)
