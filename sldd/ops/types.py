"""Names of choices and of shapes that every layer uses; below all of them, so that naming one imports none."""

from __future__ import annotations

from typing import Literal

import torch

Weights = list[torch.Tensor]
"""One tensor for each parameter of a network, in the network's order."""
Memory = Literal["auto", "keep", "recompute"]
"""What becomes of the graphs of inner steps."""
Precision = Literal["float32", "bfloat16"]
InnerWeights = Literal["all", "head"]
"""What inner steps change."""
TaskName = Literal["patches", "multilabel"]
"""What a network is asked: patients by votes of their patches, or findings of whole films."""
