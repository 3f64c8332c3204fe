"""Gradient matching (Zhao et al. 2021), with Siamese augmentation (Zhao & Bilen 2021).

The gradient that a network gets from distilled images is to point where that from real ones does (Eq. 7 to 9):

    L = sum_c D( grad_theta l(S_c; theta), grad_theta l(T_c; theta) )
    D(A, B) = sum over layers, sum over output nodes i of  1 - <A_i, B_i> / (||A_i|| ||B_i||)

with S_c and T_c the distilled and real images of class c, both changed alike. A_i is the gradient of all weights that
lead to node i; vectors (biases, scales of norm layers) have one weight a node, without a direction, and are left out.
Through ``d D / d A = nu`` the gradient of L with respect to images and labels is d<A, nu>, the same product that
an inner step's adjoint takes, by the same traced kernels (``sldd.distillation.inner_gradient``).

The network is drawn anew after ``match.redraw`` steps, between which it learns from the distilled images, augmented.
One with batch norm sees all classes in one batch: of a class by itself, statistics would be of that class. Its real
batch has as large a share of each class as the distilled images have.
"""

from __future__ import annotations

from typing import Any

import torch

from sldd.backbones.norms import batch_norms
from sldd.distillation.alternatives.matching import Matching
from sldd.distillation.inner_gradient import EagerGradient, InnerGradient, TracedGradient, program_or_eager
from sldd.ops.types import Weights
from sldd.training.compute import autocast_type, outer_gradient

_SMALLEST = 1e-6
"""Added to the product of norms, as in the authors' code: a node that is never active has no gradient. Nodes whose
product is far smaller, as behind ConvNeXt's layer scales, count for little, whatever their direction."""


def distance(made: Weights, real: Weights) -> torch.Tensor:
    """D of two gradients, a tensor a parameter each."""
    found = torch.zeros((), device=made[0].device)
    for one, other in zip(made, real, strict=True):
        if one.ndim > 1:
            a, b = one.flatten(1), other.flatten(1)
            found = found + (1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + _SMALLEST)).sum()
    return found


class GradientMatching(Matching):
    """Images (and labels) whose inner gradient points where that of real ones does; arguments as of ``Matching``."""

    def __init__(self, *given: Any, **others: Any) -> None:
        super().__init__(*given, **others)
        precision = autocast_type(self._compute.inner_precision)
        self._eager = EagerGradient(self._unroll.logits, self._loss.inner, precision)
        self._program: TracedGradient | None = None
        self._to_trace = self._device.type == "cpu"
        self._weights: Weights = []
        together = [torch.ones_like(self._classes, dtype=torch.bool)]
        each = [self._classes == number for number in self._classes.unique()]
        # Of the (S M,) images, those that are matched together: all, or class by class.
        self._groups = together if batch_norms(self.network) else each

    def _matched(
        self, images: torch.Tensor, labels: torch.Tensor, real: torch.Tensor, classes: torch.Tensor
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        self.network.train()
        drawn, since = divmod(self._taken, self._match.redraw)
        if not since:
            self._weights = self._networks(drawn)
        change, total = self._change(), 0.0
        to_images, to_labels = torch.zeros_like(images), torch.zeros_like(labels)
        for rows in self._groups:
            alike = self._alike(classes, self._classes[rows])
            leaves = [weight.detach().requires_grad_() for weight in self._weights]
            _, wanted = outer_gradient(
                self._unroll.forward, leaves, change(real[alike]), classes[alike], self._compute, self._loss.outer
            )
            made, soft = change(images[rows]), labels[rows]
            gradient, products = self._inner(made, soft).linearised(self._weights, made.detach(), soft.detach())
            gradient = [part.requires_grad_() for part in gradient]
            loss = distance(gradient, wanted)
            nu = torch.autograd.grad(loss, gradient, allow_unused=True, materialize_grads=True)  # dD / dA
            by_made, by_labels = products([part.contiguous() for part in nu], False)
            to_images += torch.autograd.grad(made, images, by_made)[0]  # through the augmentation
            to_labels[rows] += by_labels
            total += loss.item()
        return total, to_images, to_labels

    def _follow(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """The network learns from the distilled images, as its next gradients are to be met there, unless it is the
        next one's turn (Algorithm 1)."""
        if not self._taken % self._match.redraw:
            return
        for step in range(self._match.network_steps):
            gradient = self._eager.gradient(self._weights, self._change(step)(images), labels)
            self._weights = list(torch._foreach_sub(self._weights, gradient, alpha=self._match.network_lr))

    @staticmethod
    def _alike(classes: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        """Rows of real images, in the order of the batch, of the classes ``made`` of distilled images and in their
        proportions. Of real images in others the gradient, and what batch norm subtracts, would be another one, however
        good the distilled images are."""
        places = [torch.nonzero(classes == which)[:, 0] for which in made.unique()]
        counts = [int((made == which).sum()) for which in made.unique()]
        scale = min((len(found) / count for found, count in zip(places, counts, strict=True) if len(found)), default=0)
        kept = [found[: round(scale * count)] for found, count in zip(places, counts, strict=True)]
        return torch.cat(kept).sort().values

    def _inner(self, images: torch.Tensor, labels: torch.Tensor) -> InnerGradient:
        """What gives the gradient on these images: a program, recorded at the first call on a CPU, or autograd."""
        if self._to_trace:
            self._program = TracedGradient.of(self._eager, self._weights, images.detach(), labels.detach())
            self._to_trace = False
        return program_or_eager(self._program, self._eager, images, labels)

    def state_dict(self) -> dict[str, Any]:
        """As of ``ImageLearner``, with the network that learns."""
        return super().state_dict() | {"network": [weight.detach() for weight in self._weights]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        super().load_state_dict(saved)
        self._weights = list(saved["network"])
