"""Adaptive gradient clipping, relative to the usual gradient norm."""

from __future__ import annotations

import torch

_DECAY = 0.95
"""Of the running norm: it knows about the last twenty steps."""


class AdaptiveClip:
    """Scales a gradient down to at most ``times`` its usual norm, the running average of its clipped norms.

    One long gradient, as a chaotic inner loop throws now and then, would otherwise stay in Adam's second moment for a
    thousand steps.

    Args:
        times: how much longer than usual a gradient may be.

    Attributes:
        norms: usual norm by name; belongs into a checkpoint.
    """

    def __init__(self, times: float) -> None:
        self._times = times
        self.norms: dict[str, torch.Tensor] = {}

    def apply(self, gradients: dict[str, torch.Tensor]) -> None:
        """Clip in place, each by itself. One that is not finite is left for the caller to find."""
        for name, gradient in gradients.items():
            norm = gradient.norm()
            usual = self.norms.get(name, norm)
            # Nothing is known about the norm of what was zero so far.
            allowed = torch.where(usual > 0, torch.minimum(norm, self._times * usual), norm)
            gradient.mul_(torch.where(norm > 0, allowed / norm, 1.0))
            self.norms[name] = torch.where(usual > 0, _DECAY * usual + (1 - _DECAY) * allowed, allowed)
