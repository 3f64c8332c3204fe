"""Last-layer inner steps: a network split into body and head.

The body before the cut stays as it starts, in evaluation mode. So a real patch always has the same features, which are
kept (``sldd.backbones.features.kept_features``), and the body has to be differentiated only once, at the distilled
images, and never twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import timm
import torch
import torchvision
from torch import nn

from sldd.errors import InputError
from sldd.ops.digest import digest, outputs_digest
from sldd.ops.dispatch import Kernels
from sldd.rng import stream


def last_layer(network: nn.Module) -> tuple[str, nn.Module]:
    """The last module with parameters of its own (a classifier's output layer), and its name."""
    return [(path, module) for path, module in network.named_modules() if list(module.parameters(recurse=False))][-1]


@contextmanager
def caught_inputs(*modules: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Context that lists what the modules are called with inside it: the first argument of each call, in order."""
    caught: list[torch.Tensor] = []
    hooks = [module.register_forward_pre_hook(lambda _, given: caught.append(given[0])) for module in modules]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()


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
        self._shape: tuple[int, ...] | None = None
        self.layer = nn.Sequential(self._last, nn.Flatten()) if isinstance(self._last, nn.Conv2d) else self._last

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The last layer's input: (..., features) for (..., channels, height, width)."""
        with caught_inputs(self._last) as caught, Kernels(twice=False):
            self._network(images.flatten(0, -4))
        return caught[-1].unflatten(0, images.shape[:-3])

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self._last.parameters()).device

    def fingerprint(self) -> str:
        """Digest of all that decides an image's features: body, statistics, libraries, processor and threads; after
        ``check``."""
        found = hashlib.sha256()
        for name, value in self._network.state_dict().items():
            if not name.startswith(f"{self.path}."):
                found.update(f"{name} {value.dtype} {tuple(value.shape)} {value.stride()}".encode())
                found.update(value.cpu().contiguous().numpy())
        gpu = self.device.type == "cuda"
        return digest(
            found.hexdigest(),
            str(self._network),
            [torch.__version__, torchvision.__version__, timm.__version__],
            torch.cuda.get_device_name(self.device) if gpu else torch.backends.cpu.get_cpu_capability(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            self._of_noise(),
        )

    def _of_noise(self) -> str:
        """Digest of the features of an image of noise: networks of the same layers may compute other things."""
        if self._shape is None:
            raise ValueError("no image has been checked, so nobody knows how large one is")
        image = torch.from_numpy(stream(0, "noise").standard_normal((1, *self._shape), dtype="float32"))
        return outputs_digest(lambda: self.features(image.to(self.device)))

    @torch.no_grad()
    def check(self, images: torch.Tensor) -> None:
        """Raise an InputError where the network does more with these images than apply its last layer to features.

        Args:
            images: (batch, channels, height, width), as large as all that follow.
        """
        self._shape = tuple(images.shape[1:])
        expected = self._network(images)
        found = self.layer(self.features(images))
        if found.shape != expected.shape or not torch.allclose(found, expected, rtol=1e-3, atol=1e-4):
            raise self._refusal("but does more after it")

    def _refusal(self, what: str) -> InputError:
        return InputError(f"distill.inner_weights: the network ends in {self.path}, {what}; use 'all'")
