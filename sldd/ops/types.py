"""Type aliases of settings and shapes, below all other modules, so that naming one imports none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Weights = list[torch.Tensor]
"""One tensor for each parameter of a network, in the network's order."""
Memory = Literal["auto", "keep", "recompute"]
"""What becomes of the graphs of inner steps."""
Precision = Literal["float32", "bfloat16"]
InnerWeights = Literal["all", "head"]
"""What inner steps change."""
TaskName = Literal["patches", "multilabel", "classes"]
"""What a network is asked: patients by votes of their patches, the findings of whole films, or their one class."""
PerChannel = float | tuple[float, float, float]
"""A number where images are gray, one for each of red, green and blue where they are in colour."""
ScoredPart = tuple[int, torch.Tensor, np.ndarray | None]
"""Number of a patient among those scored, some of its images or features of them, and their classes where known."""
Seen = Callable[[Iterator[ScoredPart], str | None], Iterator[ScoredPart]]
"""(parts of images, their digest or None where it cannot be told) -> the parts with what a learner's ``logits``
takes for the images."""


@dataclass(frozen=True)
class InputSpec:
    """A network's input and classes.

    Attributes:
        side: of the square input, in pixels.
        classes: names of the outputs, in their order.
        mean, std: by which the cohort's own values are standardised, channel by channel.
        channels: of the input.
        exclusive: whether a whole film is of one of the classes, and they are no findings that may be on it together.
    """

    side: int
    classes: tuple[str, ...]
    mean: PerChannel
    std: PerChannel
    channels: int = 1
    exclusive: bool = False
