"""Base of methods that match: images (and labels) are learned beside other networks, without the receiver's steps.

Whatever they match, they hand over what all methods do: images, labels and rates for the receiver's steps. They learn
no rates. These follow from the images as they are, as a share of each tensor that the steps change, which is searched
like that of any other method (``DistillSettings.rate_unit``).
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sldd.backbones.features.embedding import Embedding
from sldd.backbones.init import initialise
from sldd.distillation.alternatives.settings import MatchSettings
from sldd.distillation.image_learner import ImageLearner
from sldd.ops.dispatch import Kernels
from sldd.ops.types import Weights
from sldd.rng import stream
from sldd.training.compute import cast
from sldd.training.learner import State
from sldd.training.siamese import Change, identity, siamese


class Networks:
    """Weights of numbered networks, each freshly drawn by Xavier's rule (``sldd.backbones.init``).

    Args:
        network: says on which device and in which layout weights lie; stays as it is.
        seed: names the draws.
        start: give the network's own weights for every number instead.
        blank: the network as it is built, in which fresh weights are drawn; ``network`` unless given. Drawing keeps
            what is constant there, such as layer scales, which have other values in a network that was trained.
    """

    def __init__(self, network: nn.Module, seed: int, *, start: bool = False, blank: nn.Module | None = None) -> None:
        self._start = [parameter.detach() for parameter in network.parameters()]
        self._blank, self._seed, self._always_start = copy.deepcopy(blank or network).cpu(), seed, start

    def __call__(self, number: int) -> Weights:
        """The weights of network ``number``, in memory of their own."""
        if self._always_start:
            return [weight.clone() for weight in self._start]
        initialise(self._blank, int(stream(self._seed, "fresh network", number).integers(2**62)))
        return [
            torch.empty_like(like).copy_(parameter.detach())  # on its device, and laid out as it is
            for parameter, like in zip(self._blank.parameters(), self._start, strict=True)
        ]


class Matching(ImageLearner):
    """Base of methods that match a quantity of distilled images with that of real ones; the rates follow from the
    images.

    Args:
        classes: the class that each of the M images of a batch stands for.
        match: settings of these methods alone.
        blank: as of ``Networks``; others as of ``ImageLearner``.
    """

    def __init__(
        self,
        *given: Any,
        classes: Sequence[int],
        match: MatchSettings,
        blank: nn.Module | None = None,
        **others: Any,
    ) -> None:
        super().__init__(*given, **others)
        self._track_statistics = False  # no step runs real batches under the evaluated weights: nothing to follow
        steps = len(self._learned["images"])
        self._match = match
        self._classes = torch.tensor(list(classes) * steps, device=self._device)
        self._networks = Networks(self.network, self._seed, start=match.networks == "start", blank=blank)

    @abstractmethod
    def _matched(
        self, images: torch.Tensor, labels: torch.Tensor, real: torch.Tensor, classes: torch.Tensor
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        """The loss on real images, and its gradients.

        Args:
            images, labels: (S M, ...) leaves that require gradients, in the order of ``self._classes``.
            real, classes: (batch, ...) images and (batch,) their classes.
        """

    def step(self, inputs: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """One outer step; the loss is what is matched, before it."""
        params = {name: value.detach().requires_grad_() for name, value in self._learned.items()}
        made = self._inner_inputs(params)
        leaves = [made[name].detach().flatten(0, 1).requires_grad_() for name in ("images", "labels")]
        loss, *found = self._matched(leaves[0], leaves[1], inputs, classes)
        gradients = {
            name: torch.autograd.grad(made[name], params[name], gradient.view_as(made[name]))[0]
            for name, gradient in zip(("images", "labels"), found, strict=True)
            if name in self._optimised
        }
        self._update(gradients, rate)
        made = self._inner_inputs(self._learned)
        self._follow(made["images"].flatten(0, 1), made["labels"].flatten(0, 1))
        return loss

    def _follow(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Called after each step with the images and labels that it has led to: networks may learn from these."""

    def _real_features(self, embedding: Embedding, weights: Weights, real: torch.Tensor) -> torch.Tensor:
        """(batch, features) of real images, with no derivative.

        They are computed in parts of ``compute.micro_batch``; batch norm normalises each part by itself.
        """
        parts = real.split(self._compute.micro_batch or len(real))
        with torch.no_grad(), Kernels(twice=False), cast(real.device, self._compute.precision):
            return torch.cat([embedding(weights, part) for part in parts]).float()

    def state(self) -> State:
        """As of ``ImageLearner``, with the rates that the images have now: S inner gradients."""
        found = self.learned()
        return found | {"rates": self._rates_at(found)}

    def _change(self, *inner: int) -> Change:
        """The augmentation of this step, or of inner steps within it."""
        return siamese(stream(self._seed, "siamese", self._taken, *inner)) if self._match.augment else identity


def class_means(features: torch.Tensor, classes: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """(known, features) mean of the rows of each class; zero for one without any."""
    belongs = (classes == known[:, None]).to(features.dtype)
    return belongs @ features / belongs.sum(1, keepdim=True).clamp(min=1)
