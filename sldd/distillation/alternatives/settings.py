"""Settings of the methods that learn beside other networks than the receiver's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MatchSettings:
    """How ``dm`` and ``dc`` learn, beside what ``distill`` and ``outer`` say of all methods."""

    networks: Literal["fresh", "start"] = "fresh"
    """Networks on which images are matched: drawn anew, as published, or the receiver's own start (ours)."""
    augment: bool = True
    """Siamese augmentation: real and distilled images of a step are shifted, turned, scaled, cut or lit alike."""
