"""Distilled images on the page: each under its label, as many of a cell as there is room for."""

from __future__ import annotations

import re

import numpy as np
import pytest

from analysis.page.gallery import films
from analysis.records.packages import CLASSES, Distilled


def drawn(labels: object, rates: object = ((0.02,),), classes: tuple[str, ...] = CLASSES) -> str:
    """Of black images with the labels (step, image, class)."""
    weights = np.asarray(labels, float)
    return films(Distilled(np.zeros((*weights.shape[:2], 4, 4)), weights, np.asarray(rates), classes))


def test_a_bar_has_the_shares_of_its_label_and_a_mark_where_a_weight_was_negative() -> None:
    clear, clipped, _ = drawn([[[1, 1, 2], [-1, 1, 3]]]).split("</figure>")
    bars = [re.findall(r'<i class="(.)" style="width:([0-9.]+)%"', film) for film in (clear, clipped)]
    assert bars == [[("I", "25.0"), ("N", "25.0"), ("P", "50.0")], [("I", "0.0"), ("N", "25.0"), ("P", "75.0")]]
    assert clear.endswith("<figcaption>I 25.0 · N 25.0 · P 50.0 %</figcaption>")
    assert clipped.endswith("<figcaption>I 0.0 · N 25.0 · P 75.0 % †</figcaption>")
    assert 'title="learned weights: I -1.000, N 1.000, P 3.000"' in clipped


def test_of_many_images_the_first_are_shown_and_the_rest_is_counted() -> None:
    shown = drawn(np.ones((2, 7, 3)))
    assert shown.count("<figure") == 12
    assert "distilled step 2, image 5," in shown
    assert "step 2, image 6" not in shown
    assert "and 2 more in the package" in shown


def test_of_many_findings_the_likeliest_are_shown_and_all_are_in_the_title() -> None:
    (film,) = re.findall("<figure.*?</figure>", drawn([[[0.1, 0.5, 0.4, 0.3, 0.2]]], classes=tuple("ABCDE")))
    assert re.findall(r"<span>(.*?)</span>", film) == ["B 50 %", "C 40 %", "D 30 %", "E 20 %"]
    assert 'title="B 0.500, C 0.400, D 0.300, E 0.200, A 0.100"' in film


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([[0.03125]], "learned rate 0.0312"),
        ([[0.1, 0.2]], "learned rates of the steps 0.1, 0.2"),
        ([[0.1, 0.2], [0.3, 0.4]], "learned rates, epoch 1: 0.1, 0.2; epoch 2: 0.3, 0.4"),
    ],
)
def test_rates_are_told_by_epoch_and_step(rates: list[list[float]], words: str) -> None:
    assert f'<p class="setting">{words}</p>' in drawn([[[1, 1, 1]]], rates)
