"""Whole films scaled down: what is seen, drawn and counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sldd.data.cohort import Cohort, one_film, prepare
from sldd.data.whole_films import ClassBatches, WholeBatches, WholeFilms, exclusive_classes
from sldd.errors import InputError
from sldd.metrics.patient_votes import count_votes
from sldd.rng import stream
from sldd.sources.folder import FolderSource
from tests.sldd.finding_cohort import finding_cohort


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


def test_a_film_is_averaged_and_not_picked() -> None:
    pixels = np.zeros((64, 64), np.uint8)
    pixels[::4] = 200
    image = WholeFilms(one_film(pixels), 16, 0.0, 1.0).image(0)
    assert np.abs(image[0, 0, 1:-1].numpy() - 50).max() < 1


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


def test_batches_hold_all_films_of_a_patient_and_nobody_elses(cohort: Cohort) -> None:
    several = replace(cohort, film_patients=[film // 4 for film in range(12)], labels=[0, 1, 0])
    films = WholeFilms(several, 16, 0.0, 1.0)
    known = {films.image(film).numpy().tobytes(): film for film in range(12)}
    images, labels = WholeBatches(films, [0, 1]).draw(stream(0, "batch"), 80)
    drawn = [known[image[None].numpy().tobytes()] for image in images]
    assert {(film, label) for film, label in zip(drawn, labels.tolist(), strict=True)} == {
        (film, 1 + film // 4) for film in range(8)
    }
    batches = ClassBatches(films, [1, 2], np.arange(12) % 2, "ab")
    assert batches.counts == {"a": 4, "b": 4}
    images, _ = batches.draw(stream(0, "batch"), 80)
    assert {known[image[None].numpy().tobytes()] for image in images} == set(range(4, 12))


def test_batches_of_classes_hold_each_or_are_refused(cohort: Cohort) -> None:
    films, numbers = WholeFilms(cohort, 16, 0.0, 1.0), np.arange(12) % 4
    batches = ClassBatches(films, list(range(6)), numbers, "abcd")
    assert sorted(np.bincount(batches.draw(stream(0, "batch"), 6)[1])) == [1, 1, 2, 2]
    with pytest.raises(InputError, match="a batch of 3 cannot hold each of 4 classes; draw 4 or more"):
        batches.draw(stream(0, "batch"), 3)


def test_the_fingerprint_follows_whatever_changes_a_batch(cohort: Cohort) -> None:
    def of(side: int = 16, mean: float = 0.0, std: float = 1.0, patients: int = 12, first: int = 0) -> str | None:
        numbers = (np.arange(12) + first) % 2
        return ClassBatches(WholeFilms(cohort, side, mean, std), range(patients), numbers, "ab").fingerprint

    found = [of(), of(side=17), of(mean=1.0), of(std=2.0), of(patients=11), of(first=1)]
    assert of() == found[0] is not None
    assert len(set(found)) == 6
    assert WholeFilms(replace(cohort, fingerprint=""), 16, 0.0, 1.0).fingerprint is None


def test_a_film_votes_with_its_probabilities(cohort: Cohort) -> None:
    scores = torch.tensor([[0.2, 0.2, 0.6]]).log()
    votes = count_votes(lambda _: scores, WholeFilms(cohort, 16, 0.0, 1.0), [0, 1], batch=4, device=torch.device("cpu"))
    assert votes.counts == pytest.approx(np.array([[0.2, 0.2, 0.6]] * 2))
    assert votes.scores == pytest.approx([0.75, 0.75])
    assert votes.patch_accuracy is None


def test_an_image_is_of_one_class_and_none_or_several_are_refused(tmp_path: Path) -> None:
    one_each = finding_cohort(tmp_path / "a", [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [0, 1, 2])
    names, numbers = exclusive_classes(one_each)
    assert (names, numbers.tolist()) == (("Mass", "Edema", "Hernia"), [1, 2, 0])
    for row, count in (([0, 0, 0], 0), ([1, 0, 1], 2)):
        with pytest.raises(InputError, match=f"image 2: {count} of 3 classes, and an image is of one"):
            exclusive_classes(finding_cohort(tmp_path / "b", [[1, 0, 0], row], [0, 1]))
