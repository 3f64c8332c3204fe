"""Kernel ridge regression on features of networks that learn from the images (FRePo, Zhou et al. 2022).

The last layer that distilled images stand for is found in closed form. With features f of a network, the kernel
K_ts = f(x_t) f(x_s)' of real and distilled images, and targets y less 1 / C (Eq. 3):

    L = 1/2 mean_t || y_t - K_ts (K_ss + lambda I)^-1 y_s ||^2,      lambda = 1e-6 trace(K_ss) / (S M)

One derivative takes L back to images and labels; nothing is unrolled. The network of a step comes from a pool. It then
learns from the images for a step of Adam, on the receiver's loss, and is drawn anew after ``match.pool_updates`` of
these. The pool's first networks are drawn anew after fewer, each another number, so that it holds networks of all ages.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from sldd.backbones.features.embedding import Embedding
from sldd.distillation.alternatives.matching import Matching
from sldd.ops.dispatch import Kernels
from sldd.ops.types import Weights
from sldd.rng import stream

_RIDGE = 1e-6
_TINY = 1e-20
"""Of the ridge where no image has a feature; small enough beside any feature, with a derivative that float32 holds."""
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


def ridge_predictions(
    real: torch.Tensor, made: torch.Tensor, targets: torch.Tensor, ridge: float = _RIDGE
) -> torch.Tensor:
    """(real, classes) predictions for features (real, d), from those (made, d) of images with these targets."""
    real, made, targets = real.double(), made.double(), targets.double()
    kernel = made @ made.T
    strength = ridge * kernel.diagonal().mean() + _TINY
    identity = torch.eye(len(made), dtype=made.dtype, device=made.device)
    return real @ made.T @ torch.linalg.solve(kernel + strength * identity, targets)


class _Pooled:
    """A network of the pool: its weights, Adam's moments, steps taken, and steps that it will take."""

    def __init__(self, weights: Weights, limit: int) -> None:
        self.weights, self.limit, self.taken = weights, limit, 0
        self.first, self.second = ([torch.zeros_like(w) for w in weights] for _ in range(2))

    def learn(self, gradients: Weights, rate: float) -> None:
        """A step of Adam (Kingma & Ba 2015, Algorithm 1)."""
        self.taken += 1
        torch._foreach_lerp_(self.first, gradients, 1 - _BETAS[0])
        torch._foreach_lerp_(self.second, list(torch._foreach_mul(gradients, gradients)), 1 - _BETAS[1])
        scales = [1 - decay**self.taken for decay in _BETAS]
        roots = torch._foreach_sqrt(torch._foreach_div(self.second, scales[1]))
        torch._foreach_add_(roots, _EPSILON)
        self.weights = list(torch._foreach_addcdiv(self.weights, self.first, roots, value=-rate / scales[0]))


class KernelRidge(Matching):
    """Images (and labels) from which a last layer follows that predicts real ones; arguments as of ``Matching``."""

    def __init__(self, *given: Any, **others: Any) -> None:
        super().__init__(*given, **others)
        self._embedding = Embedding(self.network)
        self._drawn, self._picked = 0, 0
        self._pool: list[_Pooled] = []

    def _matched(
        self, images: torch.Tensor, labels: torch.Tensor, real: torch.Tensor, classes: torch.Tensor
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        self.network.train()
        while len(self._pool) < self._match.pool:
            self._pool.append(self._new())
        self._picked = int(stream(self._seed, "pool", self._taken).integers(len(self._pool)))
        network, count = self._pool[self._picked], labels.shape[1]
        targets = F.one_hot(classes, count).double() - 1 / count
        known = self._real_features(self._embedding, network.weights, real)
        with Kernels(twice=False):
            found = ridge_predictions(known, self._embedding(network.weights, images), labels - 1 / count)
        loss = 0.5 * (targets - found).square().sum(1).mean()
        by_images, by_labels = torch.autograd.grad(loss, [images, labels])
        return loss.item(), by_images, by_labels

    def _follow(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """The step's network learns from the images as they are now (Algorithm 1), or makes room for another."""
        network = self._pool[self._picked]
        leaves = [weight.requires_grad_() for weight in network.weights]
        with Kernels(twice=False):
            loss = self._loss.inner(self._unroll.forward(leaves, images), labels)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        network.weights = [weight.detach() for weight in leaves]
        network.learn(list(gradients), self._match.pool_lr)
        if network.taken >= network.limit:
            self._pool[self._picked] = self._new()

    def _new(self) -> _Pooled:
        number, self._drawn = self._drawn, self._drawn + 1
        size, updates = self._match.pool, self._match.pool_updates
        return _Pooled(self._networks(number), max(1, updates * min(number + 1, size) // size))

    def state_dict(self) -> dict[str, Any]:
        """As of ``ImageLearner``, with the pool."""
        pool = [vars(network).copy() for network in self._pool]
        return super().state_dict() | {"pool": pool, "drawn": self._drawn}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        super().load_state_dict(saved)
        self._drawn, self._pool = saved["drawn"], []
        for known in saved["pool"]:
            network = _Pooled(known["weights"], known["limit"])
            vars(network).update(known)
            self._pool.append(network)
