from __future__ import annotations

import pytest

from analysis.design.power import power
from analysis.design.simulation import Design
from analysis.text import relation
from analysis.text.relation import curves_verdict, reach
from tests.analysis.stats.test_shared_counts import study


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Power of few studies: the words are the same."""
    monkeypatch.setattr(relation, "power", lambda design: power(design, 20))


SIX = {f"{kin}1": {1: 0.8 - 0.05 * place, 2: 0.85 - 0.04 * place, None: 0.9} for place, kin in enumerate("abcdef")}


def said(networks: int, **design) -> str:
    sizes = tuple(10 ** (place + 4) for place in range(networks))
    kin = tuple("abcdefghijklmnopqrstuvwxyz"[:networks])
    return " ".join(
        reach(Design(**({"networks": networks, "parameters": sizes, "kin": kin, "correlation": 0.7} | design)))
    )


def test_what_whole_curves_show_is_said_with_its_p_and_slope():
    words = curves_verdict(study(SIX))
    assert words.startswith(
        "By the whole curves of 6 networks (images: 1, 2) it is shown that larger ones fall further "
    )
    assert "under the HM of their own ordinary training: Spearman's +1.00, one-sided p = 0.0014; +0." in words
    assert "90 % interval +" in words


def test_without_ordinary_training_of_each_the_gain_by_more_images_is_compared():
    tried = {name: {count: hm for count, hm in hms.items() if count} for name, hms in SIX.items()}
    assert "that larger ones gain more from more images" in curves_verdict(study(tried))


def test_what_few_networks_or_one_family_cannot_show_is_said():
    three = dict(list(SIX.items())[:3])
    assert curves_verdict(study(three)).endswith("in perfect order p would be 0.17.")
    kin = dict(zip(["a1", "a2", "b1", "b2"], SIX.values(), strict=False))
    assert "4 networks of 2 families" in curves_verdict(study(kin))
    one = dict(zip(["a1", "a2", "a3", "a4"], SIX.values(), strict=False))
    assert "4 networks of 1 family" in curves_verdict(study(one))
    assert curves_verdict(study({"a": {1: 0.5}})) == ""
    assert curves_verdict(study({})) == ""


@pytest.mark.parametrize(
    ("networks", "design", "expected"),
    [
        (
            3,
            {},
            "3 networks can show nothing about growth with parameters at the 5 % level: even in perfect order p is",
        ),
        (5, {"kin": tuple("aabbc")}, "families kept together, p is 0.12"),
        (5, {"kin": tuple("aaaaa")}, "5 networks of 1 family can show growth with parameters, of the family a alone"),
        (2, {"parameters": (5, 5)}, "2 networks, all of one size, can show nothing"),
        (1, {}, "1 network can show nothing"),
        (4, {}, "4 networks can show growth with parameters: in perfect order p is 0.042, in any other above 0.05."),
        (
            6,
            {"seeds": 1},
            "One confirm seed does not show how far seeds differ: no interval, and no count shown to suffice.",
        ),
        (6, {"seeds": 1}, "(simulated: 1 seed, 60 test patients; seeds are taken to differ by 0.12 HM)"),
    ],
)
def test_what_a_design_can_and_cannot_show_is_said_beforehand(networks, design, expected):
    assert expected in said(networks, **design)


def test_power_is_that_of_the_simulation_and_what_would_raise_it_is_named():
    words = said(12)
    assert "A true correlation of 0.7 with log parameters is shown in" in words
    assert "with 5 seeds and 200 patients" in words
    assert "with 20 networks of different families" in words
    assert "12 networks of different families" in said(4)
    assert "% of studies of 12 networks of different families and in" in said(3)
    assert said(30, parameters=(5,) * 30, kin=None) == (
        "30 networks, all of one size, can show nothing about growth with parameters."
    )
    assert "No distilled images are to be run" in reach(None)[0]
