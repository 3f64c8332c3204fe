"""Ordinary training, with distilled images beside every batch."""

from __future__ import annotations

import torch
from torch import nn

from sldd.training.losses import soft_cross_entropy
from sldd.training.supervised import Training


def _linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def test_images_beside_a_batch_are_learned_too() -> None:
    random = torch.Generator().manual_seed(1)
    batch, truth = torch.randn(6, 1, 4, 4, generator=random), torch.tensor([0, 1, 2, 0, 1, 2])
    images, labels = batch[:1], torch.tensor([[0.0, 0.0, 1.0]])  # against what the batch says of it
    losses = []
    for beside in (None, (images, labels)):
        learner = Training(_linear(), device=torch.device("cpu"), beside=beside)
        for _ in range(30):
            learner.step(batch, truth, 0.05)
        weights = learner.weights(learner.state())
        losses.append(float(soft_cross_entropy(learner.forward(weights, images), labels)))
    assert losses[1] < 1.0 < 2.0 < losses[0]
