"""Initial soft labels of films with several findings."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.distillation.initial.findings import FINDING_STARTS, initial_findings

# Two often together, one alone and rarer, most films without.
LABELS = np.array([[0, 0, 0]] * 8 + [[1, 0, 1]] * 5 + [[0, 1, 0]] * 2 + [[0, np.nan, 0]])


def test_single_findings_the_most_frequent_first_after_none() -> None:
    found = initial_findings("single", 6, LABELS, seed=0).tolist()
    assert found == [[0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_prior_is_the_share_of_films_where_it_is_known() -> None:
    assert initial_findings("prior", 2, LABELS, seed=0).numpy() == pytest.approx(
        np.array([[5 / 16, 2 / 15, 5 / 16]] * 2)
    )


def test_clusters_are_what_occurs_together() -> None:
    found = initial_findings("clusters", 3, LABELS, seed=0).numpy()
    assert found[0] == pytest.approx([0, 2 / 15 / 9, 0], abs=1e-6)  # a film whose second finding is not known is there
    assert found[1:] == pytest.approx(np.array([[1, 0, 1], [0, 1, 0]]), abs=1e-6)


@pytest.mark.parametrize("start", FINDING_STARTS)
@pytest.mark.parametrize("images", [1, 9])
def test_any_count_has_labels(start: str, images: int) -> None:
    found = initial_findings(start, images, LABELS, seed=0)
    assert found.shape == (images, 3)
    assert bool(((found >= 0) & (found <= 1)).all())
    assert found.tolist() == initial_findings(start, images, LABELS, seed=0).tolist()
