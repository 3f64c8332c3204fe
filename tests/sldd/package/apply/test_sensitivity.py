"""The table of variants: what a variant changes is counted against the package as it was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sldd.metrics.patient_votes import UNDECIDED
from sldd.package import Package
from sldd.package.apply import sensitivity
from sldd.package.apply.films import find_patients
from sldd.package.apply.scoring import score
from sldd.package.apply.sensitivity import fragility


class _Bright(nn.Module):
    """Bright patches vote P, and others N."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        brightness = images.mean((1, 2, 3))
        return torch.stack([torch.full_like(brightness, -20.0), -brightness, brightness], 1)


class _Negative(nn.Module):
    """Every patch votes N."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[-20.0, 20.0, -20.0]]).expand(len(images), 3)


def test_changes_are_counted_against_the_package_as_it_was_made(
    films: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, patients, device = _Bright(), find_patients(films), torch.device("cpu")
    both = [("as made", "", lambda: network, ""), ("other", "", _Negative, "")]
    monkeypatch.setattr(sensitivity, "variants", lambda *_: iter(both))
    made, other = fragility(package, patients, batch=64, device=device)
    scores = score(network, package, patients, batch=64, device=device).votes.scores
    called = (scores >= package.threshold()) & (scores != UNDECIDED)
    assert (made.changed_decisions, made.score_change) == (0, 0.0)
    assert other.changed_decisions == int(called.sum()) > 0
    assert other.score_change == pytest.approx(float(np.where(scores == UNDECIDED, 0, scores).max()))
    assert len(set(scores)) > 1
