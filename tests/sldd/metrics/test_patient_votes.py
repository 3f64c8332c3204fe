"""Votes, scores and thresholds, counted by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sldd.data.cohort import prepare
from sldd.data.patches import Patches, PatchSettings
from sldd.metrics.patient_votes import UNDECIDED, Votes, count_votes, operate, threshold_curve
from sldd.sources.folder import FolderSource


def _votes(counts: list[list[int]], labels: list[int]) -> Votes:
    return Votes(list(range(len(labels))), np.array(labels), np.array(counts), np.zeros((3, 3), int))


def test_two_patients_counted_by_hand(cohort_folder: Path) -> None:
    """Windows of 32 at stride 16 on 64 x 64: 3 x 3. The network below calls a patch by its mean gray value."""
    cohort = prepare(FolderSource(cohort_folder), cohort_folder.parent / "cache")
    patches = Patches(cohort, PatchSettings(size=32, stride=16, input_size=32), 0.0, 1.0)

    def predict(images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        # I below 75, P above 180, N between.
        return torch.stack([(mean < 75).float(), ((mean >= 75) & (mean <= 180)).float(), (mean > 180).float()], 1)

    sizes: list[int] = []

    def counted(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return predict(images)

    votes, large, small = (
        count_votes(counted, patches, [0, 1], batch=batch, device=torch.device("cpu")) for batch in (4, 20, 10)
    )
    assert sizes == [4, 4, 1, 4, 4, 1, 18, 9, 9]
    assert large.counts.tolist() == small.counts.tolist() == votes.counts.tolist()
    # Organ rows 12..51. A corner window holds 20 x 20 of 1024 pixels of it: 400/1024 * 120 + 19.5 = 66 (I) for the
    # negative patient, 400/1024 * 180 + 19.5 = 90 (N) for the positive. An edge window holds 32 x 20 = 640: 94 (N)
    # and 132 (N). The middle one is all organ: 139 (N) and 199 (P).
    assert votes.counts.tolist() == [[4, 5, 0], [0, 8, 1]]
    assert votes.scores.tolist() == [0.0, 1 / 9]
    assert votes.labels.tolist() == [0, 1]
    # Only the middle window passes 85 %; no window is below 1 %.
    assert votes.confusion.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert votes.patch_accuracy == 1.0
    assert votes.auc == 1.0
    curve = threshold_curve(votes)
    assert (curve.delta, curve.hm) == ([1 / 9, 1.0], [1.0, 0.0])
    assert curve.best() == (1.0, pytest.approx(1 / 18))


def test_patches_of_known_class_are_counted_by_class_down_and_vote_across() -> None:
    classes = np.array([-1, 0, 0, 2])
    seen = torch.eye(3)[[1, 1, 0, 2]]  # a patch is what it votes; the first has no class
    cohort = SimpleNamespace(films_of=[[0]], labels=[1])
    film: Any = SimpleNamespace(cohort=cohort, soft_votes=False, scan=lambda *_: iter([(seen, classes)]))
    votes = count_votes(lambda images: images, film, [0], batch=9, device=torch.device("cpu"))
    assert votes.counts.tolist() == [[1, 2, 1]]
    assert votes.confusion.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert votes.patch_accuracy == (1 / 2 + 1) / 2, "N, of which there is none, is in no mean"


def test_sen_spe_hm_by_hand() -> None:
    counts = [[0, 6, 4], [0, 3, 7], [0, 9, 1], [0, 5, 5], [0, 10, 0], [2, 8, 2]]
    at = operate(_votes(counts, [1, 1, 1, 0, 0, 0]), 0.4)
    assert (at.sensitivity, at.specificity) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert at.hm == pytest.approx(2 / 3)


def test_undecided_patients_are_negative_and_counted() -> None:
    votes = _votes([[9, 0, 0], [9, 0, 0], [0, 1, 3]], [1, 0, 1])
    assert votes.undecided == 2
    assert votes.scores[0] == UNDECIDED
    at = operate(votes, 0.0)
    assert (at.sensitivity, at.specificity) == (0.5, 1.0)


def test_absent_label_is_undefined_not_zero() -> None:
    votes = _votes([[0, 1, 1]], [1])
    assert operate(votes, 0.4).specificity is None
    assert operate(votes, 0.4).hm is None
    assert votes.auc is None
    with pytest.raises(ValueError, match="positive and negative"):
        threshold_curve(votes)


patients = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 6), st.integers(0, 1)), min_size=2, max_size=12
).filter(lambda rows: len({row[3] for row in rows}) == 2)


@given(rows=patients, delta=st.floats(0.001, 1.0))
def test_curve_is_hm_at_every_threshold(rows: list[tuple[int, int, int, int]], delta: float) -> None:
    votes = _votes([list(row[:3]) for row in rows], [row[3] for row in rows])
    curve = threshold_curve(votes)
    step = next(k for k, end in enumerate(curve.delta) if delta <= end)
    assert curve.hm[step] == operate(votes, delta).hm
    assert len(curve.delta) <= len(rows) + 1


sums = st.floats(0, 6, allow_subnormal=False)
soft_patients = st.lists(st.tuples(sums, sums, sums, st.integers(0, 1)), min_size=2, max_size=12).filter(
    lambda rows: len({row[3] for row in rows}) == 2
)


@given(rows=patients | soft_patients)
def test_curve_is_to_the_last_digit_what_each_threshold_gives_alone(
    rows: list[tuple[float, float, float, int]],
) -> None:
    counts, labels = np.array([row[:3] for row in rows]), np.array([row[3] for row in rows])
    votes = Votes(list(range(len(rows))), labels, counts, np.zeros((3, 3), int))
    ends = sorted({float(score) for score in votes.scores if score > 0} | {1.0})
    curve = threshold_curve(votes)
    assert (curve.delta, curve.hm) == (ends, [operate(votes, end).hm for end in ends])


class Counted(Votes):
    """Notes how often its scores are worked out."""

    asked: ClassVar[list[int]] = []

    @property
    def scores(self) -> np.ndarray:
        self.asked.append(len(self.patients))
        return super().scores


def test_a_curve_works_scores_out_once_however_many_thresholds_there_are() -> None:
    counts = np.array([[0, 40 - number, number] for number in range(40)])
    votes = Counted(list(range(40)), np.arange(40) % 2, counts, np.zeros((3, 3), int))
    assert len(threshold_curve(votes).delta) == 40
    assert votes.asked == [40]


@given(rows=patients)
def test_best_is_the_maximum_and_is_reached(rows: list[tuple[int, int, int, int]]) -> None:
    votes = _votes([list(row[:3]) for row in rows], [row[3] for row in rows])
    hm, delta = threshold_curve(votes).best()
    assert operate(votes, delta).hm == hm
    assert hm >= max(operate(votes, trial).hm or 0.0 for trial in np.linspace(0.001, 1, 97))


@pytest.mark.parametrize("films", [1, 2, 3, 7])
def test_the_same_said_of_every_film_tells_nobody_apart_however_many_films_there_are(films: int) -> None:
    """Soft votes: sums over one film and over several have equal shares but for the last digit."""
    said = torch.tensor([-1.0, 2.0, 0.5]).double().softmax(0).numpy()
    counts = [sum(said for _ in range(each)) for each in [films] * 10 + [1] * 10]
    votes = _votes(counts, [1] * 10 + [0] * 10)  # type: ignore[arg-type]
    assert votes.auc == 0.5
    assert threshold_curve(votes).best()[0] == 0


def test_the_widest_interval_is_found_among_equal_values_of_other_calls() -> None:
    """HM is 2/3 in (0.369, 0.376] and in (0.419, 0.477], by other calls, and differs in the last digit."""
    positive = [0.376, 0.393, 0.477, 0.569, 0.612, 0.628, 0.721, 0.96]
    negative = [0.04, 0.091, 0.206, 0.277, 0.369, 0.419, 0.537, 0.589, 0.589, 0.731]
    counts = [[0, 1000 - round(1000 * score), round(1000 * score)] for score in positive + negative]
    top, delta = threshold_curve(_votes(counts, [1] * 8 + [0] * 10)).best()
    assert top == pytest.approx(2 / 3)
    assert delta == pytest.approx(0.448)
