"""Small networks of the distillation literature that no library has."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def lenet(*, input_size: int, channels: int, classes: int) -> nn.Module:
    """LeNet-5 with max pooling and ReLU, as dataset distillation used it on digits (Wang et al. 2018; 61,706 parameters
    for 28 x 28 digits of ten classes)."""
    side = ((input_size // 2) - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * side * side, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


def convnet(width: int, *, input_size: int, channels: int, classes: int) -> nn.Module:
    """Three blocks of 3 x 3 convolution, instance norm, ReLU and 2 x 2 average pooling, then one linear layer: the
    network on which distillation methods are compared (Gidaris & Komodakis 2018; Zhao et al. 2021, width 128)."""
    layers: list[nn.Module] = []
    for block in range(3):
        layers += [
            nn.Conv2d(channels if block == 0 else width, width, 3, padding=1),
            nn.GroupNorm(width, width),  # one group a channel: instance norm that keeps no statistics
            nn.ReLU(),
            nn.AvgPool2d(2),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * (input_size // 8) ** 2, classes))


def _convnet(width: int) -> Callable[..., nn.Module]:
    return lambda **shape: convnet(width, **shape)


LAYOUTS: dict[str, Callable[..., nn.Module]] = {
    "lenet": lenet,
    "convnet": _convnet(128),
    "convnet_w64": _convnet(64),
    "convnet_w32": _convnet(32),
}
"""Builders by backbone name; each takes ``input_size``, ``channels`` and ``classes``."""
