"""Several collections as one: films, findings and patients stay whose they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sldd.data.concat import JoinedFilms, join_splits
from sldd.data.multilabel_batches import FilmBatches
from sldd.data.split import Split
from sldd.data.whole_films import WholeFilms
from sldd.errors import InputError
from sldd.rng import stream
from sldd.training.weighted_bce import entry_weights, weighted_bce
from tests.sldd.finding_cohort import finding_cohort

NAN = float("nan")


@pytest.fixture
def parts(tmp_path: Path) -> list[WholeFilms]:
    first = finding_cohort(tmp_path / "a", [[1, 0, 0], [0, NAN, 0], [0, 0, 1]], [0, 0, 1])
    second = replace(
        finding_cohort(tmp_path / "b", [[1, 1, 0], [0, 0, 1]], [0, 1]), classes=["Edema", "Nodule", "Mass"]
    )
    return [WholeFilms(first, 16, 100.0, 10.0), WholeFilms(second, 16, 120.0, 5.0)]


def test_classes_are_those_of_both_and_unknown_where_not_named(parts: list[WholeFilms]) -> None:
    cohort = JoinedFilms(parts).cohort
    assert cohort.classes == ["Mass", "Edema", "Hernia", "Nodule"]
    expected = [[1, 0, 0, NAN], [0, NAN, 0, NAN], [0, 0, 1, NAN], [0, 1, NAN, 1], [1, 0, NAN, 0]]
    np.testing.assert_array_equal(cohort.film_labels, np.array(expected, np.float32))
    assert cohort.films_of == [[0, 1], [2], [3], [4]]


def test_each_film_is_standardised_as_its_own_collection(parts: list[WholeFilms]) -> None:
    joined = JoinedFilms(parts)
    for number, (part, film) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        torch.testing.assert_close(joined.image(number), parts[part].image(film), rtol=0, atol=0)


def test_the_fingerprint_follows_every_collection(parts: list[WholeFilms]) -> None:
    first, second = parts
    brighter = WholeFilms(second.cohort, 16, 121.0, 5.0)
    nameless = WholeFilms(replace(second.cohort, fingerprint=""), 16, 120.0, 5.0)
    joined = [JoinedFilms(each).fingerprint for each in (parts, [first, brighter], [second, first])]
    assert JoinedFilms(parts).fingerprint == joined[0] is not None
    assert len(set(joined)) == 3
    assert JoinedFilms([first, nameless]).fingerprint is None


def test_batches_are_of_training_patients_and_what_is_not_known_is_in_no_loss(parts: list[WholeFilms]) -> None:
    split = join_splits([Split([0], [1], []), Split([1], [], [0])], [2, 2])
    assert split == Split([0, 3], [1], [2])
    batches = FilmBatches(JoinedFilms(parts), split.train)
    assert batches.size == 3
    images, labels = batches.draw(stream(0, "test"), 8)
    assert images.shape == (8, 1, 16, 16)
    logits = torch.zeros(labels.shape, requires_grad=True)
    weighted_bce(logits, labels, entry_weights(labels)).backward()
    assert logits.grad is not None
    assert bool((logits.grad[labels.isnan()] == 0).all())
    assert bool((logits.grad[~labels.isnan()] != 0).all())


def test_patients_with_one_label_cannot_be_joined(parts: list[WholeFilms]) -> None:
    parts[1].cohort = replace(parts[1].cohort, classes=[], findings=[])
    with pytest.raises(InputError, match="only collections of films with findings"):
        JoinedFilms(parts)


def test_a_class_that_is_spelled_in_two_ways_is_refused(parts: list[WholeFilms]) -> None:
    parts[1].cohort = replace(parts[1].cohort, classes=["edema", "Nodule", "Mass "])
    with pytest.raises(InputError, match=r"'Mass' and 'Mass ' would be two classes|'Edema' and 'edema' would be two"):
        JoinedFilms(parts)
    parts[0].cohort = replace(parts[0].cohort, classes=["Mass", "Edema", "edema"])
    parts[1].cohort = replace(parts[1].cohort, classes=["edema", "Nodule", "Mass"])
    assert JoinedFilms(parts).cohort.classes == ["Mass", "Edema", "edema", "Nodule"], "two that one collection tells"
