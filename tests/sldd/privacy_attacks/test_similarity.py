"""Similarity of images and patches."""

from __future__ import annotations

import pytest
import torch

from sldd.privacy_attacks.report import Candidates
from sldd.privacy_attacks.similarity import (
    MEASURES,
    Features,
    Similarities,
    most_alike,
    standardised,
)
from sldd.privacy_attacks.views import Views

CPU = torch.device("cpu")


def _alike(images: torch.Tensor, views: Views, patients: list[int], network: Features, batch: int = 64) -> Similarities:
    yardstick = standardised(network, views.one_each(range(20), 0))
    return most_alike(images, views, patients, yardstick, batch=batch, device=CPU)


def test_a_copy_is_found_in_other_light_and_as_a_negative(candidates: Candidates, features: Features) -> None:
    dense, owner = candidates.views.densely(), candidates.training[3]
    copy = dense.one_each([owner], 1)
    found = _alike(torch.cat([copy, 0.3 * copy + 2, -copy]), dense, candidates.training, features)
    row = candidates.training.index(owner)
    assert found.best["pixel"][row] == pytest.approx([1, 1, 1], abs=1e-4)
    assert found.best["ssim"][row] == pytest.approx([1, 1, 1], abs=1e-3)
    assert found.best["feature"][row, 0] == pytest.approx(1, abs=1e-4)
    for measure in MEASURES:
        assert found.best[measure][:, 0].argmax() == row


def test_a_copy_lies_between_the_windows_that_are_scored(candidates: Candidates, features: Features) -> None:
    wide, dense = candidates.views, candidates.views.densely()
    copies = dense.one_each(candidates.training, 5)
    missed, found = (_alike(copies, each, candidates.training, features) for each in (wide, dense))
    assert found.best["pixel"].diagonal() == pytest.approx(1, abs=1e-4)
    assert missed.best["pixel"].diagonal().min() < 0.99
    assert (found.windows > 3 * missed.windows).all()


def test_nothing_depends_on_how_many_crops_fit_into_memory(candidates: Candidates, features: Features) -> None:
    dense, few = candidates.views.densely(), candidates.held_out[:2]
    images = torch.cat([dense.one_each(candidates.training[:2], 2), torch.full((1, 1, 16, 16), 0.7)])
    small, large = (_alike(images, dense, few, features, batch) for batch in (7, 500))
    for measure in MEASURES:
        assert small.best[measure] == pytest.approx(large.best[measure], abs=1e-5)
    assert (small.windows == large.windows).all()
    assert (large.best["pixel"][:, 2] == 0).all()  # an image without structure is like nothing
    assert (large.best["ssim"][:, 2] == 0).all()


def test_probes_are_of_the_organ_and_one_a_patient(candidates: Candidates) -> None:
    probes = candidates.views.one_each(candidates.held_out, 0)
    assert probes.shape == (len(candidates.held_out), 1, 16, 16)
    assert (probes.flatten(1).std(1) > 0).all()
    assert not torch.equal(probes, candidates.views.one_each(candidates.held_out, 1))
