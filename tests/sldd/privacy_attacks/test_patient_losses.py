"""Per-patient loss and batch-norm input moments."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sldd.backbones.norms import measure_statistics
from sldd.data.patches import Patches
from sldd.privacy_attacks.patient_losses import _weighted_mean as weighted_mean
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


class _OutOfOrder(nn.Module):
    """Calls layers in another order than they are registered in, one of them twice and one never."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.last, self.never, self.first = nn.BatchNorm2d(3), nn.BatchNorm2d(5), nn.BatchNorm2d(4)
        self.stem, self.body, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 3), nn.Linear(3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        deep = self.body(torch.relu(self.first(self.stem(images))))
        return self.head((self.last(deep) + self.last(2 * deep)).mean((2, 3)))


def test_moments_are_those_of_the_layers_that_the_statistics_are_of(candidates: Candidates) -> None:
    network, views, patient = _OutOfOrder(), candidates.views, candidates.training[0]
    ((crops, classes),) = views.scan(views.cohort.films_of[patient][0], 1000, CPU)
    pooled = norm_moments(network, measure_statistics(network, network, [crops]))
    found = patient_features(network, network.eval(), views, [patient], batch=64, device=CPU).moments[0]
    assert found.shape == pooled.shape == (2 * (3 + 5 + 4),)
    weights = torch.from_numpy(views.weights(classes))
    with torch.no_grad():
        first = network.stem(crops).double()
        last = network.body(torch.relu(network.first(network.stem(crops)))).double()
    for values, place, factor, square in ((last, 0, 1.5, 2.5), (first, 16, 1, 1)):
        channels = values.shape[1]
        mean, squares = (weights @ each.mean((2, 3)) for each in (values, values.square()))
        assert found[place : place + channels] == pytest.approx(factor * mean.numpy(), rel=1e-5, abs=1e-7)
        assert found[place + channels : place + 2 * channels] == pytest.approx(square * squares.numpy(), rel=1e-5)
    assert (found[6:16] == 0).all(), "what tells nobody from anybody"


def test_of_a_patients_values_only_sums_are_kept(candidates: Candidates) -> None:
    random = np.random.default_rng(0)
    parts = [(torch.from_numpy(random.standard_normal((n, 7))), np.arange(n) % 3 - (n == 2)) for n in (5, 4, 2, 6)]
    alive: list[weakref.ref[torch.Tensor]] = []

    def read() -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        for values, classes in parts:
            assert sum(value() is not None for value in alive) <= 1, "of all batches before, the last one at most"
            mine = values.clone()
            alive.append(weakref.ref(mine))
            yield mine, classes
            del mine

    weights = candidates.views.weights(np.concatenate([classes for _, classes in parts]))
    expected = weights @ torch.cat([values for values, _ in parts]).numpy()
    assert weighted_mean(candidates.views, read()) == pytest.approx(expected)
