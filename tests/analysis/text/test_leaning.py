from __future__ import annotations

from analysis.design.simulation import Design
from analysis.stats.dose_response import relations
from analysis.stats.minimum import compared_minimum, rule_points
from analysis.stats.ranks.rank_tests import spearman
from analysis.text.leaning import leaning
from benchmarks.statistics import simulate
from tests.analysis.stats.test_shared_counts import SEARCHED, study

FOUR = {f"{kin}1": {1: 0.8 - 0.05 * place, 2: 0.85 - 0.04 * place, None: 0.9} for place, kin in enumerate("abcd")}


def test_p_without_each_family_and_with_other_margins_is_said():
    without, margins = leaning(study(FOUR))
    assert without == "Without any one family the p of whole curves, 0.042 with all, is 0.17."
    # Each network's two counts are 0.05 to 0.08 apart: a margin of 0.10 tells none of them from another.
    assert margins.startswith(
        "With margins of 0.05, 0.10, 0.15 and 0.20 the p of smallest counts by the papers' rule is "
    )
    assert margins.endswith("undefined, undefined and undefined.")


def test_p_with_all_is_that_of_whole_curves_where_a_network_with_nothing_to_lose_was_tried_at_fewer_counts():
    crossing = {f"{kin}1": {1: 0.85 - 0.05 * place, 2: second, None: 0.9}
                for place, (kin, second) in enumerate(zip("abcd", (0.6, 0.8, 0.82, 0.86), strict=True))}  # fmt: skip
    found = study(crossing | {"e1": {1: 0.5, None: 0.55}})
    assert f"the p of whole curves, {relations(found)[''].p:.2g} with all," in leaning(found)[0]


def test_other_margins_are_those_of_searched_counts():
    """Some networks cannot take one image: those that one suffices for need two, the fewest of which all could do."""
    needs = {"a": 1, "b": 1, "c": 2, "d": 2, "e": 4}
    tried: dict[str, dict[int | None, float]] = {
        name: {count: 0.9 if count >= need else 0.5 for count in (1, 2, 4)} | {None: 0.9}
        for name, need in needs.items()
    }
    del tried["e"][1]
    cells = [SEARCHED | {"backbone": name, "images": count} for name in tried for count in (1, 2, 4)]
    cells[-3]["refused"] = "batch norm"
    *_, margins = leaning(study(tried, cells))
    assert margins.endswith("by the papers' rule is 0.2, 0.2, 0.2 and 0.2."), margins


def test_at_its_own_margin_the_papers_rule_says_what_the_answer_says_of_it():
    """Of all networks, also of one whose ordinary training hardly learns, and which whole curves leave out."""
    needs = {"a": 1, "b": 1, "c": 2, "d": 2, "e": 4, "f": 1}
    tried: dict[str, dict[int | None, float]] = {
        name: {count: 0.9 if count >= need else 0.5 for count in (1, 2, 4)} | {None: 0.9}
        for name, need in needs.items()
    }
    tried["f"] = {1: 0.52, 2: 0.53, 4: 0.55, None: 0.55}
    found = study(tried)
    points = rule_points(compared_minimum(found))
    p = spearman(points["parameters"], points["lower"], points["upper"], points["backbone"].tolist()).p
    assert p is not None
    *_, margins = leaning(found)
    assert margins.split(" is ")[1].split(", ")[1] == f"{float(p):.2g}"


def test_one_network_or_family_leans_on_nothing_that_could_be_left_out():
    assert leaning(study({"a": {1: 0.5}})) == []
    assert leaning(study({})) == []
    one = dict(zip(["a1", "a2", "a3", "a4"], FOUR.values(), strict=True))
    assert [line for line in leaning(study(one)) if "family" in line] == []


def test_what_is_left_if_all_intervals_are_to_hold_at_once_is_said():
    found, _ = simulate(Design(networks=4, counts=(1, 2), seeds=5, patients=200, seed_spread=0.02), 0)
    (said,) = [line for line in leaning(found) if "at once" in line]
    assert "To hold for all 8 counts of 4 networks at once each would be at 99.38 %" in said
