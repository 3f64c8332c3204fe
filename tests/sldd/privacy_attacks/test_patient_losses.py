"""Per-patient loss and batch-norm input moments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sldd.backbones.norms import measure_statistics
from sldd.data.patches import Patches
from sldd.privacy_attacks.patient_losses import norm_moments, patient_features
from sldd.privacy_attacks.report import Candidates
from sldd.privacy_attacks.views import PatchViews

CPU = torch.device("cpu")


def _network() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.BatchNorm1d(4), nn.Linear(4, 3))


def test_losses_and_moments_are_weighted_means_over_a_patients_patches(candidates: Candidates) -> None:
    network, views = _network().eval(), candidates.views
    patients = candidates.training[:3]
    small, large = (patient_features(network, network, views, patients, batch=batch, device=CPU) for batch in (5, 1000))
    assert small.losses == pytest.approx(large.losses)
    assert small.moments == pytest.approx(large.moments)
    assert large.moments.shape == (3, 16)  # mean and mean square of two layers of four channels
    for row, patient in enumerate(patients):
        ((crops, classes),) = views.scan(views.cohort.films_of[patient][0], 1000, CPU)
        with torch.no_grad():
            logits, arriving = network(crops), network[0][0](crops)
        organ = classes > 0
        losses = F.cross_entropy(logits, torch.from_numpy(classes.clip(0).astype(np.int64)), reduction="none").numpy()
        assert large.losses[row] == pytest.approx(
            losses[classes == 0].mean() / 3 + losses[organ].mean() * 2 / 3, rel=1e-5
        )
        means = arriving.mean((2, 3)).numpy()
        expected = means[classes == 0].mean(0) / 3 + means[organ].mean(0) * 2 / 3
        assert large.moments[row, :4] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_without_masks_the_patients_label_is_what_is_asked_of_every_patch(candidates: Candidates) -> None:
    patches = candidates.views.patches
    cohort = replace(patches.cohort, has_mask=[False] * len(patches.cohort.has_mask))
    views = PatchViews(Patches(cohort, patches.settings, 0.0, 1.0))
    head = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    with torch.no_grad():
        head[1].weight.zero_()
        head[1].bias.copy_(torch.tensor([50.0, 0.0, np.log(3.0)]))  # whatever the organ, three to one for positive
    patients = sorted(candidates.training, key=lambda patient: cohort.labels[patient])
    read = patient_features(head.eval(), head, views, patients, batch=64, device=CPU)
    expected = [-np.log(0.75 if cohort.labels[patient] else 0.25) for patient in patients]
    assert read.losses == pytest.approx(expected, rel=1e-4)
    assert read.moments.shape == (len(patients), 0)


def test_statistics_as_moments_are_the_mean_of_the_moments() -> None:
    network, batch = _network(), torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    theta_bn = measure_statistics(network, network, [batch])
    arriving = network[0][0](batch).detach().double()
    found = norm_moments(network, theta_bn)
    assert found[:4] == pytest.approx(arriving.mean((0, 2, 3)).numpy(), rel=1e-4, abs=1e-6)
    assert found[4:8] == pytest.approx(arriving.square().mean((0, 2, 3)).numpy(), rel=1e-3)
    assert norm_moments(nn.Linear(2, 2), {}).shape == (0,)
