"""Real images beside distilled ones: they are drawn and compared with, and are no networks of the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pandas.testing import assert_frame_equal

from analysis.records.controls import without_controls
from analysis.records.records import Study, read_study
from analysis.stats.evidence import count_evidence
from analysis.stats.leads import leads
from analysis.stats.minimum import minimum_images
from analysis.text.at_a_glance import in_a_sentence
from analysis.text.growth import whether_it_grows
from analysis.text.relation import curves_verdict
from analysis.text.summary import headline, highlights
from tests.analysis.conftest import Ledger, voters
from tests.analysis.stats.test_leads import NETWORKS, atlas

METHODS = {"random_real": {"label": "random real patches", "control": True}, "sldd": {"label": "SLDD"}}


@pytest.fixture
def pair(ledger: Callable[..., Ledger]) -> tuple[Study, Study]:
    """A study of twelve networks, and the same with three real images of each, whose seeds differ wildly."""
    plain = atlas(lambda folder, **described: ledger("plain", name=folder, **described), methods=METHODS)
    beside = atlas(ledger, methods=METHODS)
    for place, name in enumerate(NETWORKS):
        size = 10_000 * (1 + (place * 5) % 12)
        cell = beside.cell(name, size, 3, cell=f"{name}-real", method="random_real")
        for seed, right in enumerate((0.5, 1.0, 0.7)):
            beside.done(cell, seed, hm=right, patients=voters(right, each=100))
    return read_study(plain.folder), read_study(beside.folder)


def test_a_study_without_controls_is_itself(pair: tuple[Study, Study]) -> None:
    plain, beside = pair
    assert without_controls(plain) is plain
    assert set(without_controls(beside).records["method"]) == {"sldd", "train"}
    assert without_controls(beside) is without_controls(beside)


def test_controls_change_nothing_of_the_answer(pair: tuple[Study, Study]) -> None:
    plain, beside = pair
    assert_frame_equal(minimum_images(beside), minimum_images(plain))
    assert whether_it_grows(beside) == whether_it_grows(plain) != ""
    assert curves_verdict(beside) == curves_verdict(plain) != ""
    assert_frame_equal(leads(beside), leads(plain))
    assert len(leads(beside))
    assert "suffice for all 12 networks (" in in_a_sentence(beside, minimum_images(beside))
    assert headline(beside)[1:] == headline(plain)[1:]
    assert [tile for tile in highlights(beside) if "best" in tile[1]] == [
        tile for tile in highlights(plain) if "best" in tile[1]
    ]


def test_they_are_drawn_with_intervals_of_their_own(pair: tuple[Study, Study]) -> None:
    plain, beside = (count_evidence(study) for study in pair)
    own = beside["method"].eq("random_real")
    assert own.sum() == 12
    assert_frame_equal(beside[~own].reset_index(drop=True), plain.reset_index(drop=True))
    width = beside["interval_high"] - beside["interval_low"]
    assert width[own].min() > width[~own].max()


def test_a_study_of_nothing_else_answers_for_them(ledger: Callable[..., Ledger]) -> None:
    study = ledger(methods=METHODS)
    study.done(study.cell("net", 10, 3, method="random_real"), 0)
    assert minimum_images(read_study(study.folder))["backbone"].tolist() == ["net"]
