from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.text.conclusion import describe, describe_published, published_points, verdict
from ledger.schema import SETTING

INF = np.inf
SIZES = [5_984_915, 11_176_963, 21_285_123, 57_000_643, 134_271_683, 139_581_379]


def points(sizes: list, low: list, high: list, **more: list) -> pd.DataFrame:
    names = [f"net{place}" for place in range(len(sizes))]
    return pd.DataFrame({"backbone": names, "parameters": sizes, "lower": low, "upper": high} | more)


def test_the_published_points_are_the_papers():
    table = published_points()
    assert table.columns.tolist() == ["backbone", "parameters", "lower", "upper"]
    assert table["parameters"].tolist() == SIZES
    assert table["lower"].tolist() == table["upper"].tolist() == [1, 1, 1, 1, 2, 2]


def test_what_the_published_points_can_and_cannot_show():
    assert describe_published() == (
        "Li et al. (2022): 6 backbones give Spearman's rank correlation +0.83 and Kendall's +0.73 (exact one-sided "
        "p = 1/2 = 0.5 for both, families kept together; 1/15 = 0.067 if all were of different families); "
        "even a perfect order of these points, families kept together, has p ≥ 1/2, so they cannot show at the 5 % "
        "level that larger networks need more images. A line through them, with weakly informative priors, has +2.6 "
        "doublings of the image count per tenfold parameters (95 % interval +0.1 to +7.2; +4.5 with priors twice as "
        "wide): that it lies above zero rests on the model, not on the test."
    )


def test_points_in_order_are_believed_even_if_the_largest_networks_never_work():
    said = describe(points(SIZES, [1, 1, 2, 2, 4, 4], [1, 1, 2, 3, INF, INF]))
    assert "6 backbones (net3 2 to 3, net4 4 or more, net5 4 or more images) give" in said
    assert "at the 5 % level they show that larger networks need more images, of the family net alone." in said


def test_points_out_of_order_are_not_believed():
    said = describe(points(SIZES, [3, 3, 2, 2, 1, 1], [3, 3, 2, 2, 1, 1]))
    assert "rank correlation -0.96 and" in said
    assert "(exact one-sided p = 1 for both); at the 5 % level they do not show" in said


def test_ranks_that_disagree_give_a_p_each_and_many_bounds_are_only_counted():
    said = describe(points(SIZES, [4, 1, 2, 1, 4, 4], [INF, 1, 2, 1, INF, INF]))
    assert "+0.28 (exact one-sided p = 3/10 = 0.3) and Kendall's +0.23 (exact one-sided p = 7/20 = 0.35)" in said
    said = describe(points(SIZES, [1, 1, 1, 3, 3, 3], [2, 2, 2, 4, 4, INF]))
    assert "6 backbones, 6 of them known within bounds only, give" in said


@pytest.mark.parametrize(
    ("sizes", "low", "high", "expected"),
    [
        ([5e6], [1], [1], "1 backbone is a single point, which cannot show"),
        ([5e6, 6e6], [1, 2], [1, 2], "even a perfect order of these points has p ≥ 1/2, so they cannot show"),
        ([5e6, 6e6], [2, 2], [2, 2], "Both backbones need the same number of images (2), so their rank correlation"),
        ([5e6] * 3, [1, 2, 3], [1, 2, 3], "All 3 backbones have the same number of parameters, so"),
        ([5e6, 6e6, 7e6], [4] * 3, [INF] * 3, "All 3 backbones need more images than were shown to suffice"),
        ([5e6, 6e6, 7e6], [1, 2, 2], [2, 2, INF], "All 3 backbones may need the same number of images"),
    ],
)
def test_points_that_show_nothing_say_why(sizes, low, high, expected):
    assert expected in describe(points(sizes, low, high))


def test_only_bounds_from_below_give_no_slope():
    assert "doublings" not in describe(points(SIZES, [4] * 6, [INF] * 6))
    assert "-0.6 to +0.6" in describe(points(SIZES, [2] * 6, [2] * 6))


def test_backbones_of_which_nothing_is_known_are_left_out_and_named():
    reasons = ["", "", "no confirm trial is done", "its parameters are unknown", "no confirm trial is done"]
    said = describe(points([5e6, 6e6, 7e6, None, 8e6], [1, 2, 1, 1, 1], [1, 2, INF, 1, INF], reason=reasons))
    assert said.startswith("2 backbones give")
    assert said.endswith("Left out: net2 and net4 (no confirm trial is done); net3 (its parameters are unknown).")
    nothing = describe(points([5e6], [1], [INF]))
    assert nothing.startswith("No backbone has an image count that is known at all")
    assert nothing.endswith("Left out: net0 (nothing known).")
    assert describe(points([], [], [])) == "No backbone has been tried, so nothing can be said about parameters."


def test_nullable_columns_as_the_answers_table_has_them_are_read():
    table = points(SIZES, [1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 2, 2])
    nullable = table.astype({"parameters": "Int64", "lower": "Int64", "upper": "Float64"})
    assert describe(nullable) == describe(table)
    nullable.loc[5, "lower"] = pd.NA
    assert "5 backbones" in describe(nullable)


def answer(*networks: tuple[float, int | None, int | None], **setting: object) -> pd.DataFrame:
    """Rows of `minimum_images`, one a network of a million parameters more than the last: by points, at least, minimum;
    counts up to 3 were confirmed."""
    frame = pd.DataFrame(networks, columns=["by_points", "at_least", "minimum_images"]).astype("Int64")
    frame = frame.assign(backbone=[f"n{place}" for place in range(len(frame))], largest_images=3, level=0.95)
    frame = frame.assign(by_points_at_least=frame["by_points"].fillna(4))
    frame = frame.assign(parameters=range(1_000_000, 1_000_000 * (len(frame) + 1), 1_000_000), reason="")
    return frame.assign(**dict.fromkeys(SETTING, "same") | setting)


def test_what_the_bootstrap_settles_is_said_once():
    said = verdict(answer((1, 1, 1), (2, 2, 2), (3, 3, 3)))
    assert said.count("Spearman") == 1
    assert "even a perfect order of these points has p ≥ 1/6" in said
    assert "papers' rule" not in said


def test_what_the_bootstrap_leaves_open_is_open_and_the_papers_rule_is_named():
    said = verdict(answer((1, 1, 1), (2, 1, None), (3, 2, 3)))
    assert said.startswith("2 backbones (n2 2 to 3 images)")
    assert "Left out: n1." in said
    assert "By the papers' rule, on means alone: 3 backbones give Spearman's rank correlation +1.00" in said


def test_what_neither_shows_is_said_once():
    said = verdict(answer((2, 2, 3), (2, 2, 2), (2, 2, 2)))
    assert "All 3 backbones may need the same number of images for all that is known, so their rank" in said
    assert said.endswith("By the papers' rule, on means alone, they need the same number of images (2).")
    assert said.count("neither shows nor rules out") == 1


def test_where_nothing_is_settled_only_the_papers_rule_speaks():
    said = verdict(answer((1, 1, None), (1, 1, None)))
    assert said.startswith("At the 95 % level no backbone's count is known; by the papers' rule, on means alone: Both")


def test_backbones_that_never_work_count_as_needing_more_than_was_tried():
    said = verdict(answer((1, 1, 1), (2, 2, 2), (None, 4, None)))
    assert "3 backbones (n2 4 or more images)" in said


def test_settings_of_which_the_same_is_to_be_said_share_the_words():
    frame = pd.concat([answer((1, 1, 2), norm=norm) for norm in ("none", "batch", "group")], ignore_index=True)
    said = verdict(frame)
    assert said.startswith("With norm none; norm batch; norm group: 1 backbone is a single point")
    assert said.count("single point") == 1
    assert "papers' rule" not in said


def test_settings_are_judged_apart():
    frame = pd.concat([answer((1, 1, 1)), answer((1, 1, 1), (2, 2, 2), norm="none")], ignore_index=True)
    said = verdict(frame)
    assert said.startswith("With norm same: 1 backbone is a single point")
    assert "With norm none: 2 backbones give Spearman's" in said
    assert verdict(frame.iloc[:0]) == "No backbone has been tried, so nothing can be said about parameters."


def test_networks_that_each_come_in_one_setting_are_judged_together():
    frame = pd.concat(
        [answer((1, 1, 1)), answer((2, 2, 2), norm="none").assign(backbone="other", parameters=2_000_000)]
    )
    said = verdict(frame.reset_index(drop=True))
    assert "2 backbones give Spearman's" in said
    assert said.endswith("These networks differ in more than parameters: norm same or norm none.")
