"""Whole films scaled down: what is seen, drawn and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sldd.data.cohort import Cohort, prepare
from sldd.data.whole_films import ClassBatches, WholeBatches, WholeFilms
from sldd.errors import InputError
from sldd.metrics.patient_votes import count_votes
from sldd.rng import stream
from sldd.sources.folder import FolderSource


@pytest.fixture
def cohort(cohort_folder: Path) -> Cohort:
    return prepare(FolderSource(cohort_folder), cohort_folder.parent / "cache")


def test_a_film_is_scaled_and_standardised(cohort: Cohort) -> None:
    films = WholeFilms(cohort, 32, 100.0, 50.0)
    ((image, classes),) = films.scan(3, 1, torch.device("cpu"))
    assert image.shape == (1, 1, 32, 32)
    assert classes is None
    pixels = np.array(cohort.pixels(3), float)
    assert image.mean().item() == pytest.approx((pixels.mean() - 100) / 50, abs=0.05)
    assert films.image(3) is image, "scaled once"


def test_batches_hold_training_films_of_both_labels(cohort: Cohort) -> None:
    films = WholeFilms(cohort, 16, 0.0, 1.0)
    images, classes = WholeBatches(films, [0, 1, 2, 5]).draw(stream(0, "batch"), 40)
    assert classes.tolist() == [1, 2] * 20
    known = {films.image(film).numpy().tobytes(): film for film in range(12)}
    drawn = [known[image[None].numpy().tobytes()] for image in images]
    assert set(drawn[::2]) == {0, 2}
    assert set(drawn[1::2]) == {1, 5}
    whole = WholeBatches(films, [0, 1, 2, 5])
    assert {int((whole.draw(stream(0, "batch", n), 5)[1] == 1).sum()) for n in range(8)} == {2, 3}
    with pytest.raises(InputError, match="no training patient of class P"):
        WholeBatches(films, [0, 2, 4])


def test_batches_of_classes_hold_each_or_are_refused(cohort: Cohort) -> None:
    films, numbers = WholeFilms(cohort, 16, 0.0, 1.0), np.arange(12) % 4
    batches = ClassBatches(films, list(range(6)), numbers, "abcd")
    assert sorted(np.bincount(batches.draw(stream(0, "batch"), 6)[1])) == [1, 1, 2, 2]
    with pytest.raises(InputError, match="a batch of 3 cannot hold each of 4 classes; draw 4 or more"):
        batches.draw(stream(0, "batch"), 3)


def test_a_film_votes_with_its_probabilities(cohort: Cohort) -> None:
    scores = torch.tensor([[0.2, 0.2, 0.6]]).log()
    votes = count_votes(lambda _: scores, WholeFilms(cohort, 16, 0.0, 1.0), [0, 1], batch=4, device=torch.device("cpu"))
    assert votes.counts == pytest.approx(np.array([[0.2, 0.2, 0.6]] * 2))
    assert votes.scores == pytest.approx([0.75, 0.75])
    assert votes.patch_accuracy is None
