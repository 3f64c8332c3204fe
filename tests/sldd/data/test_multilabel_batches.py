"""Batches of films with findings, the films that distilled ones start from, and the scores of a task of films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from sldd.backbones.features.kept_features import FeatureBatches
from sldd.data import whole_films as whole
from sldd.data.multilabel_batches import FilmBatches, nearest_films
from sldd.data.whole_films import WholeFilms
from sldd.metrics.film_evaluator import FilmEvaluator
from sldd.rng import stream
from tests.sldd.finding_cohort import finding_cohort

NAN = float("nan")
LABELS = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, NAN], [0, 1, 0], [1, 0, NAN]]
PATIENTS = [0, 0, 1, 2, 3, 3]


@pytest.fixture
def films(tmp_path: Path) -> WholeFilms:
    cohort = finding_cohort(tmp_path / "cohort", LABELS, PATIENTS)
    return WholeFilms(cohort, 16, *cohort.intensity(range(4)))


def test_films_are_drawn_from_training_patients_with_what_is_not_known(films: WholeFilms) -> None:
    batches = FilmBatches(films, [0, 2])
    images, labels = batches.draw(stream(0, "batch", 1), 64)
    assert images.shape == (64, 1, 16, 16)
    known = {tuple(map(str, row)) for row in labels.tolist()}
    assert known == {("0.0", "0.0", "0.0"), ("1.0", "0.0", "0.0"), ("0.0", "0.0", "nan")}
    again, _ = batches.draw(stream(0, "batch", 1), 64)
    assert torch.equal(images, again)
    for image, row in zip(images, labels, strict=True):
        (film,) = [n for n in (0, 1, 3) if np.array_equal(films.cohort.film_labels[n], row.numpy(), equal_nan=True)]
        assert torch.equal(image, films.image(film)[0])


def test_the_fingerprint_follows_the_patients(films: WholeFilms) -> None:
    one, again, other = (FilmBatches(films, patients).fingerprint for patients in ([0, 2], [0, 2], [0, 1]))
    assert one == again is not None
    assert one != other


def test_counts_leave_out_what_is_not_known(films: WholeFilms) -> None:
    positives, negatives = FilmBatches(films, [0, 1, 2, 3]).counts
    assert positives.tolist() == [3, 2, 0]
    assert negatives.tolist() == [3, 4, 4]


def test_distilled_films_start_from_those_with_the_nearest_findings(films: WholeFilms) -> None:
    batches = FilmBatches(films, [0, 1, 2, 3])
    labels = torch.tensor([[0.0, 0, 0], [1, 1, 0], [0, 1, 0]])
    started = nearest_films(batches, labels, steps=2, seed=0)
    assert started.shape == (2, 3, 1, 16, 16)
    assert torch.equal(started[0, 1], films.image(2)[0])
    assert torch.equal(started[0, 2], films.image(4)[0])
    assert len({tuple(image.flatten().tolist()) for image in started.flatten(0, 1)}) == 6, "no film twice"


def test_findings_that_are_not_known_make_a_film_neither_nearer_nor_farther(films: WholeFilms, tmp_path: Path) -> None:
    """The mean square is over what is known: 0.19 / 3 to the film without any, and 0.18 / 2 where one is not known."""
    batches = FilmBatches(films, [0, 1, 2, 3])
    (started,) = nearest_films(batches, torch.tensor([[0.3, 0.3, 0.1]]), steps=1, seed=0)
    assert torch.equal(started, films.image(0))
    cohort = finding_cohort(tmp_path / "unknown", [[NAN, NAN, NAN], [1, 1, 1]], [0, 1])
    two = WholeFilms(cohort, 16, 0.0, 1.0)
    (started,) = nearest_films(FilmBatches(two, [0, 1]), torch.zeros(1, 3), steps=1, seed=0)
    assert torch.equal(started, two.image(1)), "one of which nothing is known comes last"


def test_scaled_films_are_kept_only_while_there_is_room(films: WholeFilms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "KEPT", 2 * 4 * 16 * 16)
    first = [films.image(number).clone() for number in range(4)]
    assert len(films._scaled) == 2
    assert all(torch.equal(films.image(number), image) for number, image in enumerate(first))


def test_a_task_of_films_scores_each_finding(films: WholeFilms) -> None:
    counts = FilmBatches(films, [0, 1, 2, 3]).counts

    def predict(images: torch.Tensor) -> torch.Tensor:
        bright = images[:, 0, :12, 4:12].unflatten(1, (3, 4)).mean((2, 3))
        return bright - bright.mean(1, keepdim=True)

    found = FilmEvaluator(films, counts).score(predict, [3, 0, 1], batch=2, device=torch.device("cpu"))
    assert found.patients == [3, 3, 0, 0, 1]
    truth = films.cohort.film_labels[[4, 5, 0, 1, 2]]
    assert np.array_equal(found.labels, truth, equal_nan=True)
    wanted = [roc_auc_score(truth[:, n], found.probabilities[:, n]) for n in (0, 1)]  # nobody is known to have a Hernia
    precision = [average_precision_score(truth[:, n], found.probabilities[:, n]) for n in (0, 1)]
    assert found.key[:2] == pytest.approx((np.mean(wanted), np.mean(precision)))
    assert found.history()["val_auc"] == pytest.approx(np.mean(wanted))
    assert found.key[2] == -found.history()["val_hamming_loss"]  # type: ignore[operator]


class _Numbered:
    """Batches whose image tells its findings."""

    closed = False

    def get(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        findings = (torch.from_numpy(stream(0, "numbered", number).random((8, 3))) > 0.5).float()
        return findings * 2, findings

    def close(self) -> None:
        self.closed = True


def test_kept_features_of_films_stay_with_their_findings() -> None:
    given = _Numbered()
    batches = FeatureBatches(given, lambda images: images, rows=16, seed=0)
    for number in (0, 1, 2, 9):
        features, findings = batches.get(number)
        assert torch.equal(features, findings * 2)
        assert len(features) == 8
    assert given.closed
    assert not torch.equal(batches.get(2)[0], batches.get(9)[0])
