"""Last-layer inner steps: a network split into body and head, and cached batches of real patches' features.

The body before the cut stays as it starts, in evaluation mode. So a real patch always has the same features, which are
kept, and the body has to be differentiated only once, at the distilled images, and never twice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from sldd.data.prefetch import Batch, NumberedBatches
from sldd.errors import InputError
from sldd.ops.dispatch import Kernels
from sldd.rng import stream


def last_layer(network: nn.Module) -> tuple[str, nn.Module]:
    """The last module with parameters of its own (a classifier's output layer), and its name."""
    return [(path, module) for path, module in network.named_modules() if list(module.parameters(recurse=False))][-1]


class Head:
    """The last layer of a network, apart from its body.

    Args:
        network: put into evaluation mode; its parameters no longer ask for gradients.

    Attributes:
        path: its name in the network.
        layer: features -> (batch, classes) logits; holds the network's own parameters.

    Raises:
        InputError: the last parameters are not those of a linear layer or a convolution.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval().requires_grad_(False)
        self.path, self._last = last_layer(network)
        if not isinstance(self._last, (nn.Linear, nn.Conv2d)):
            raise self._refusal("not in a layer of class scores")
        self.layer = nn.Sequential(self._last, nn.Flatten()) if isinstance(self._last, nn.Conv2d) else self._last

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The last layer's input: (..., features) for (..., channels, height, width)."""
        caught: list[torch.Tensor] = []
        hook = self._last.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
        try:
            with Kernels():
                self._network(images.flatten(0, -4))
        finally:
            hook.remove()
        return caught[-1].unflatten(0, images.shape[:-3])

    @torch.no_grad()
    def check(self, images: torch.Tensor) -> None:
        """Raise an InputError where the network does more with these images than apply its last layer to features."""
        expected = self._network(images)
        found = self.layer(self.features(images))
        if found.shape != expected.shape or not torch.allclose(found, expected, rtol=1e-3, atol=1e-4):
            raise self._refusal("but does more after it")

    def _refusal(self, what: str) -> InputError:
        return InputError(f"distill.inner_weights: the network ends in {self.path}, {what}; use 'all'")


class FeatureBatches:
    """Batches of features: those of new patches until ``rows`` are kept, then rows drawn from these, by class where
    a row has one.

    Args:
        batches: of patches, all of one size and mix of classes.
        features: (batch, channels, height, width) -> (batch, ...).
        rows: patches whose features are kept, at least; a batch is kept whole.
        seed: names the draws.
    """

    def __init__(
        self, batches: NumberedBatches, features: Callable[[torch.Tensor], torch.Tensor], *, rows: int, seed: int
    ) -> None:
        self._batches, self._features, self._rows, self._seed = batches, features, rows, seed
        self._kept: list[Batch] = []
        self._of_class: list[torch.Tensor] = []
        self._bank = self._truth = torch.empty(0)

    def get(self, number: int) -> Batch:
        """Features and classes of batch ``number``; after a resume, all batches that would have been kept are again."""
        while not len(self._bank) and len(self._kept) <= number:
            self._keep()
        if number < len(self._kept):
            return self._kept[number]
        return self._drawn(number)

    def close(self) -> None:
        """Release the batches of patches."""
        self._batches.close()

    @torch.no_grad()
    def _keep(self) -> None:
        images, classes = self._batches.get(len(self._kept))
        self._kept.append((self._features(images), classes))
        if len(self._kept) * len(images) >= self._rows:
            self._bank = torch.cat([features for features, _ in self._kept])
            truth = torch.cat([classes for _, classes in self._kept])
            counted = range(int(truth.max()) + 1) if truth.ndim == 1 else range(0)
            self._of_class = [torch.nonzero(truth == number)[:, 0] for number in counted]
            self._truth = truth
            parts = self._bank.split(len(images))
            self._kept = [(part, classes) for part, (_, classes) in zip(parts, self._kept, strict=True)]
            self._batches.close()

    def _drawn(self, number: int) -> Batch:
        classes = self._kept[0][1]
        random = stream(self._seed, "features", number)
        if classes.ndim == 2:  # findings, of which a film has several: any row is as good as another
            picked = random.integers(len(self._bank), size=len(classes), dtype=np.int64)
            rows = torch.from_numpy(picked).to(classes.device)
            return self._bank[rows], self._truth[rows]
        rows = torch.empty_like(classes)
        for which, known in enumerate(self._of_class):
            wanted = classes == which
            picked = random.integers(len(known), size=int(wanted.sum()), dtype=np.int64)
            rows[wanted] = known[torch.from_numpy(picked).to(known.device)]
        return self._bank[rows], classes
