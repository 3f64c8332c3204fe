"""Settings of the outer loop: budget, schedule, evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from sldd.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OuterSettings:
    """The outer loop: budget, schedule, evaluation."""

    steps: Annotated[int, Ge(1)] = 400
    """Outer steps at most, unless epochs decide."""
    epochs: Annotated[int, Ge(1)] | None = None
    """Passes over the training patches; where given, they decide the number of steps."""
    batch_size: Annotated[int, Ge(3)] = 96
    """Real patches a step, a third of each class."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Outer rate over the steps: as given, or down to zero along half a cosine."""
    patience: Annotated[int, Ge(1)] | None = None
    """Evaluations in a row without a better state after which a run ends; None: all steps are taken."""
    warmup: Annotated[int, Ge(0)] = 0
    """First steps, over which the outer rate rises from zero."""
    evaluations: Annotated[int, Ge(1)] = 10
    """Times that validation patients are scored, evenly spaced, the last after the last step."""
    statistics: Literal["precise", "exponential"] = "precise"
    """``theta_bn``: measured anew under the weights that are evaluated, or the running average of the outer steps' own
    batches, as published; methods that match have no such batches, and always measure."""
    statistics_batches: Annotated[int, Ge(1)] = 10
    """Real training batches averaged for precise statistics."""
    score_batch: Annotated[int, Ge(1)] = 256
    """Crops in memory at a time when a patient is scored."""
    checkpoint_every: Annotated[int, Gt(0)] = 25
    """Steps from checkpoint to checkpoint, at least."""
    checkpoint_share: Annotated[float, Gt(0), Le(1)] | None = 0.05
    """Share of a trial's time that writing checkpoints may take; one that would take more waits for a later step. None:
    as much as it takes."""

    @property
    def evaluated_at(self) -> list[int]:
        """Steps after which validation patients are scored, in order."""
        interval = self.steps / self.evaluations
        return sorted({round(interval * (number + 1)) for number in range(self.evaluations)})

    def check(self) -> None:
        """Raise an InputError where a run would be over before its patience could be."""
        if self.patience is not None and self.patience >= self.evaluations:
            raise InputError(
                f"outer.patience: {self.patience} evaluations without a better state cannot pass in a run that has "
                f"{self.evaluations} (outer.evaluations); choose fewer, or null for none"
            )

    def over(self, patches: int, epochs: int | None = None) -> OuterSettings:
        """The settings with ``epochs`` (or their own, where they have any) as steps over so many patches."""
        epochs = epochs or self.epochs
        return self if epochs is None else replace(self, steps=math.ceil(epochs * patches / self.batch_size))
