"""Distribution matching (Zhao & Bilen 2023): class-wise means of features of freshly drawn networks.

With psi_theta the features of a network, theta drawn anew in every step, A the Siamese augmentation with the step's
random w, T_c the real images of class c in the batch and S_c the distilled ones (Eq. 4 and 5):

    L = sum_c || 1/|T_c| sum_{x in T_c} psi_theta(A(x, w)) - 1/|S_c| sum_{s in S_c} psi_theta(A(s, w)) ||^2

No network is trained and nothing is differentiated twice, so a step costs what a look at the images does. Labels are
the classes'. The paper takes gradient descent with momentum on the images; here they follow Adam, as with all methods.
"""

from __future__ import annotations

from typing import Any

import torch

from sldd.backbones.features.embedding import Embedding
from sldd.distillation.alternatives.matching import Matching, class_means
from sldd.ops.dispatch import Kernels


class DistributionMatching(Matching):
    """Images whose features have the class means of real ones; arguments as of ``Matching``."""

    def __init__(self, *given: Any, **others: Any) -> None:
        super().__init__(*given, **others)
        self._embedding = Embedding(self.network)

    def _matched(
        self, images: torch.Tensor, labels: torch.Tensor, real: torch.Tensor, classes: torch.Tensor
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        self.network.train()
        weights, change = self._networks(self._taken), self._change()
        known = self._classes.unique()
        wanted = class_means(self._real_features(self._embedding, weights, change(real)), classes, known)
        with Kernels(twice=False):
            found = class_means(self._embedding(weights, change(images)), self._classes, known)
        loss = (found - wanted).square().sum()
        (gradient,) = torch.autograd.grad(loss, images)
        return loss.item(), gradient, torch.zeros_like(labels)
