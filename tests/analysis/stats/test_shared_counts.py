from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.records.records import Study
from analysis.stats.counts import next_count
from analysis.stats.dose_response import LEVEL, STEEPNESS, curves, relations
from analysis.stats.minimum import compared_minimum, known_points, minimum_images, rule_points, shown_points
from analysis.stats.shared_counts import alike, among, at_least_among, offered_counts, shared
from ledger.schema import SCHEMA

SEARCHED: dict[str, Any] = {
    "method": "sldd", "norm": "as_is", "label_init": "one_hot", "distill_steps": 1, "distill_epochs": 1, "counted": True
}  # fmt: skip


def study(tried: dict[str, dict[int | None, float]], cells: list[dict[str, Any]] | None = None, **row: Any) -> Study:
    """Networks of 10, 100, ... parameters with the HM of each image count (None: of ordinary training)."""
    usual = {"phase": "confirm", "status": "done", "norm": "as_is", "start": "xavier"} | row
    images = {"method": "sldd", "label_init": "one_hot", "distill_steps": 1, "distill_epochs": 1} | row
    training = {"method": "train", "train_classes": "INP"}
    rows = [
        {
            "trial": f"{name}-{count}/0",
            "backbone": name,
            "parameters": 10 ** (place + 1),
            "test_hm": hm,
            "images": count,
        }
        | usual
        | (training if count is None else images)
        for place, (name, hms) in enumerate(tried.items())
        for count, hm in hms.items()
    ]
    records = pd.DataFrame(rows, columns=list(SCHEMA)).astype(SCHEMA)
    return Study("study", Path("nowhere"), {}, {}, "", cells or [], records)


def test_counts_that_all_have_are_shared():
    assert shared([{1, 2, 3}, {3, 1}, {1, 3, 8}]) == (1, 3)
    assert shared([]) == ()


def test_counts_at_which_only_larger_networks_were_tried_are_left_out():
    found = study({"a": {1: 0.8, 2: 0.82}, "b": {1: 0.5, 2: 0.65, 4: 0.9, None: 0.9}})
    same = alike(found)
    assert minimum_images(found).set_index("backbone")["by_points"].to_dict() == {"a": 1, "b": 4}
    assert minimum_images(same).set_index("backbone")["by_points"].to_dict() == {"a": 1, "b": 2}
    assert same.records["test_hm"].tolist() == [0.8, 0.82, 0.5, 0.65, 0.9]  # ordinary training stays
    assert alike(same) is same


def test_a_study_whose_networks_were_tried_alike_is_the_study_itself():
    found = study({"a": {1: 0.8, 2: 0.82}, "b": {1: 0.5, 2: 0.65}})
    assert alike(found) is found
    empty = study({})
    assert alike(empty) is empty


def test_searched_counts_are_alike_if_the_same_ones_could_have_been_run():
    tried = {"a": {1: 0.8, 8: 0.82}, "b": {1: 0.5, 4: 0.8, 8: 0.9}}
    cells = [SEARCHED | {"backbone": name, "images": count} for name in tried for count in (1, 2, 4, 8)]
    assert alike(study(tried, cells)).records["images"].tolist() == [1, 8, 1, 4, 8]
    # The larger network's largest count was refused: what the search then found is another question.
    cells[-1]["refused"] = "too large"
    found = study({"a": {1: 0.8, 8: 0.82}, "b": {1: 0.5, 4: 0.8}}, cells)
    assert offered_counts(found)["offered"].tolist() == [{1, 2, 4, 8}, {1, 2, 4}]
    assert alike(found).records["images"].tolist() == [1, 1, 4]


def test_a_network_that_was_run_at_larger_counts_than_the_shared_ones_alone_stays():
    tried = {"a": {8: 0.3}, "b": {1: 0.5, 4: 0.8}}
    cells = [SEARCHED | {"backbone": name, "images": count} for name in tried for count in (1, 2, 4, 8)]
    cells[-1]["refused"] = "too large"
    found = study(tried, cells)
    assert alike(found).records["images"].tolist() == [8, 1, 4]
    assert compared_minimum(found)["largest_images"].tolist() == [4, 4], "more is all that is said of it"


def test_where_counts_of_one_network_are_searched_its_series_is_compared_as_searched():
    tried = {"a": {1: 0.5, 4: 0.9}, "b": {1: 0.5, 2: 0.8, 4: 0.9}}
    found = study(tried, [SEARCHED | {"backbone": "a", "images": count} for count in (1, 2, 4)])
    assert offered_counts(found)["searched"].tolist() == [True, True]


def test_a_network_that_needs_the_fewest_images_never_counts_as_one_that_needs_the_most():
    """Some cannot take a single image; which counts of the others were run depends on what one image showed."""
    needs = {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 3, "g": 3}
    counts, tried = range(1, 9), dict[str, dict[int | None, float]]()
    for name, need in needs.items():
        hms: dict[int, float | None] = {1: None} if name == "g" else {}
        while (count := next_count(hms, counts, 0.1, 0.5, 0.9)) is not None:
            hms[count] = 0.9 if count >= need else 0.6
        tried[name] = {count: hm for count, hm in hms.items() if hm is not None} | {None: 0.9}
    assert sorted(filter(None, tried["a"])) == [1, 8]
    cells = [SEARCHED | {"backbone": name, "images": count} for name in needs for count in counts]
    cells[-8]["refused"] = "batch norm"
    found = study(tried, cells)
    own, among_shared = (rule_points(answer) for answer in (minimum_images(found), compared_minimum(found)))
    assert own["lower"].tolist() == own["upper"].tolist() == [1, 1, 1, 2, 2, 3, 3]
    assert among_shared["lower"].tolist() == [1, 1, 1, 2, 2, 3, 3]
    assert among_shared["upper"].tolist() == [2, 2, 2, 2, 2, 3, 3]
    assert minimum_images(alike(found))["tried"].iloc[0] == "1, 8"


def test_bounds_are_said_of_the_shared_counts():
    bounds = pd.Series([1.0, 2.0, 3.0, 5.0, float("nan"), float("inf")])
    assert among((2, 4), bounds, 5).fillna(0).tolist() == [2, 2, 4, 5, 0, 5]
    assert at_least_among((2, 4), bounds).fillna(0).tolist() == [1, 2, 4, 5, 0, 5]
    whole = pd.Series([1, 3, None], dtype="Int64")
    assert at_least_among((2, 4), whole).fillna(0).tolist() == [1, 4, 0]


def test_what_is_undecided_at_every_count_says_nothing_of_the_shared_ones():
    """Not that it needs more than one image, where another network could not take one."""
    tried = {name: {1: 0.6, 8: 0.84, None: 0.9} for name in ("a", "b")}
    cells = [SEARCHED | {"backbone": name, "images": count} for name in tried for count in (1, 2, 4, 8)]
    cells[-4]["refused"] = "batch norm"
    answer = minimum_images(study(tried, cells)).assign(at_least=1, target_at_least=pd.NA)
    bounds = at_least_among((2, 4, 8), answer["at_least"])
    assert known_points(shown_points(answer.assign(at_least=bounds))).empty


def test_by_the_papers_rule_counts_that_were_not_tried_may_do():
    """The search ends where the most images fall short of ordinary training: fewer may be as good as these."""
    found = study({"a": {8: 0.72, None: 0.95}, "b": {1: 0.6, 2: 0.9, 8: 0.92, None: 0.95}, "c": {8: 0.3, None: 0.95}})
    points = rule_points(minimum_images(found))
    assert points["lower"].tolist() == [1, 2, 9]
    assert points["upper"].tolist() == [8, 2, float("inf")]


def test_a_damaged_cell_is_no_searched_one():
    cells = [SEARCHED | {"backbone": "a", "images": count} for count in (1, 8)]
    cells[0]["distill_steps"] = 1.5
    assert offered_counts(study({"a": {1: 0.8, 8: 0.9}}, cells))["searched"].tolist() == [True]


def test_a_count_that_diverged_was_offered():
    found = study({"a": {1: 0.8, 2: 0.9}, "b": {1: 0.5, 2: 0.9}})
    rows = found.records
    rows.loc[rows["trial"] == "b-1/0", ["status", "test_hm"]] = ["diverged", pd.NA]
    assert alike(found) is found


def test_another_blocks_search_is_no_offer():
    searched = study({"a": {1: 0.8, 4: 0.9}}, [SEARCHED | {"backbone": "a", "images": count} for count in (1, 2, 4)])
    listed = study({"a": {1: 0.8, 2: 0.9}, "b": {1: 0.5, 2: 0.8, 4: 0.9}}, method="dd")
    rows = pd.concat([searched.records, listed.records], ignore_index=True)
    left = alike(replace(searched, records=rows)).records
    assert left[left["method"].eq("dd")].groupby("backbone")["images"].agg(list).to_dict() == {"a": [1, 2], "b": [1, 2]}


def test_settings_are_compared_each_by_itself():
    wide, narrow = study({"a": {1: 0.8, 2: 0.9}}), study({"a": {1: 0.7}}, norm="none")
    both = Study("both", Path("nowhere"), {}, {}, "", [], pd.concat([wide.records, narrow.records]))
    assert alike(both) is both


def test_curves_are_held_against_the_networks_own_ordinary_training():
    tried = {"a1": {1: 0.8, 2: 0.82, None: 0.9}, "b1": {1: 0.5, 2: 0.65, 4: 0.9, None: 0.91}}
    rows = curves(study(tried))
    assert rows["scores"].tolist() == [{1: 0.8, 2: 0.82}, {1: 0.5, 2: 0.65, 4: 0.9}]
    assert rows["reference"].tolist() == pytest.approx([0.9, 0.91])
    assert rows["family"].tolist() == ["a", "b"]
    found = relations(study(tried))[""]
    assert (found.measure, found.counts, found.correlation, found.p) == (LEVEL, (1, 2), 1.0, 0.5)
    del tried["a1"][None]
    assert relations(study(tried))[""].measure == STEEPNESS
    assert relations(study({})) == {}


def test_curves_are_means_over_seeds():
    first, second = study({"a1": {1: 0.8, 2: 0.9, None: 0.9}}), study({"a1": {1: 0.6, 2: 0.9, None: 0.7}}, seed=1)
    (row,) = curves(replace(first, records=pd.concat([first.records, second.records]))).to_dict("records")
    assert row["scores"] == pytest.approx({1: 0.7, 2: 0.9})
    assert row["reference"] == pytest.approx(0.8)
