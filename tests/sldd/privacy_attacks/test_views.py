"""Whole images of one class each, as attacks look at them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sldd.data.cohort import Cohort
from sldd.data.whole_films import WholeFilms
from sldd.errors import InputError
from sldd.privacy_attacks.patient_losses import patient_features
from sldd.privacy_attacks.report import MOST, Candidates
from sldd.privacy_attacks.similarity import _unit, most_alike
from sldd.privacy_attacks.views import ImageViews

CPU = torch.device("cpu")
CLASSES = ("red", "white", "platelet")


@pytest.fixture
def views(cohort: Cohort) -> ImageViews:
    """The phantoms' 26 films as those of nine patients: the first eight have three each."""
    numbers = np.array([0, 0, 1, 1, 2, 1, 2, 0, 2] * 2 + [0, 1, 2, 0, 1, 1, 0, 2])
    patients = [min(film // 3, 8) for film in range(26)]
    grouped = replace(cohort, film_patients=patients, labels=[0] * 9, has_mask=[False] * 26)
    return ImageViews(WholeFilms(grouped, 16, 0.0, 1.0), numbers, CLASSES)


def test_a_patient_is_of_the_class_that_most_images_show(views: ImageViews) -> None:
    assert views.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 0]


def test_losses_weigh_a_patients_classes_the_same(views: ImageViews) -> None:
    head = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    with torch.no_grad():
        head[1].weight.zero_()
        head[1].bias.copy_(torch.tensor([0.7, 0.2, 0.1]).log())  # whatever is seen
    read = patient_features(head, head, views, range(3), batch=64, device=CPU)
    losses = -np.log([0.7, 0.2, 0.1])
    assert read.losses == pytest.approx([losses[[0, 1]].mean(), losses[[1, 2]].mean(), losses[[0, 2]].mean()])


def test_an_image_of_a_patient_is_found_and_matched(views: ImageViews) -> None:
    sought = views.one_each(range(9), seed=3)
    found = most_alike(sought, views, list(range(9)), lambda images: images.flatten(1), batch=64, device=CPU)
    assert found.best["pixel"].argmax(0).tolist() == list(range(9))
    assert found.best["pixel"].diagonal() == pytest.approx(1, abs=1e-4)
    assert found.windows.tolist() == [3] * 8 + [2]


def test_another_tint_hides_no_copy() -> None:
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    tinted = _unit(images + torch.tensor([3.0, -2.0, 1.0])[:, None, None])
    assert (_unit(images) * tinted).sum() == pytest.approx(1, abs=1e-4)


def test_rare_classes_are_one_label(views: ImageViews) -> None:
    views.labels = np.array([0] * 10 + [1] * 10 + [2] * 10 + [0, 0, 0, 0, 1, 1, 2, 2])
    drawn = Candidates(views, list(range(30)), list(range(30, 38)))
    assert drawn.groups.labels[[0, 10, 20, 30, 34, 36]].tolist() == [0, 1, 1, 0, 1, 1]
    alone = Candidates(views, list(range(30)), [30, 31, 32, 33, 34])
    assert set(alone.groups.labels) == {0}, "too rare together too, and so with the commonest"
    with pytest.raises(InputError, match="2 red held-out patients are too few"):
        Candidates(views, list(range(30)), [30, 31])


def test_of_large_sets_some_patients_are_compared(views: ImageViews) -> None:
    views.labels = np.zeros(3 * MOST, np.int64)
    drawn = Candidates.drawn(views, range(2 * MOST), range(2 * MOST, 3 * MOST), seed=0)
    assert len(drawn.training) == MOST
    assert max(drawn.training) < 2 * MOST
    assert drawn.training != Candidates.drawn(views, range(2 * MOST), range(2 * MOST, 3 * MOST), seed=1).training
    assert drawn.held_out == list(range(2 * MOST, 3 * MOST))
