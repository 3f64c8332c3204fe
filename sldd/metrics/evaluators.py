"""Evaluators: score a network on patients or films, and define the key by which states are selected.

Everything from the outer loop to the search asks an evaluator and knows no more of a task than this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from sldd.metrics.patient_votes import as_they_are
from sldd.ops.types import Seen

Predict = Callable[[torch.Tensor], torch.Tensor]
SelectionKey = tuple[float, float, float]
DIGITS = 12
"""Behind the point, to which scores are compared."""


def rounded(key: SelectionKey) -> SelectionKey:
    """The key, rounded as it is compared: equal scores of other calls differ in the last digit, which is not to decide
    before what comes next in the key."""
    first, second, third = (round(value, DIGITS) for value in key)
    return first, second, third


class Scores(Protocol):
    """Metrics of a network on a group of patients."""

    @property
    def key(self) -> SelectionKey:
        """What states are compared by: higher is better, the first number before the others. Smooth, where it can be:
        the best of many noisy numbers is the luckiest."""
        ...

    @property
    def headline(self) -> float:
        """The main metric: HM, or macro AUC."""
        ...

    def history(self) -> dict[str, float | None]:
        """Metrics that are kept of every evaluation, by name."""
        ...

    @property
    def threshold(self) -> float | None:
        """Decision threshold on a patient's score: fixed, or the best for these patients; None where there is none."""
        ...

    def describe(
        self, pseudonyms: Sequence[str], delta: float | None, intervals_of: int | None = None
    ) -> dict[str, Any]:
        """All metrics in plain values, as the ledger keeps them.

        Args:
            pseudonyms: of all patients, by number.
            delta: the threshold at which patients are told apart; these scores' own unless given.
            intervals_of: the seed of bootstrap intervals over patients, where the task has them; none where None.
        """
        ...


class Evaluator(Protocol):
    """Scores networks on patients."""

    def score(
        self,
        predict: Predict,
        patients: Sequence[int],
        *,
        batch: int,
        device: torch.device,
        seen: Seen = as_they_are,
    ) -> Scores:
        """Scores of a network; never more than ``batch`` images in memory.

        Args:
            predict: (batch, channels, side, side), or what ``seen`` makes of it, -> (batch, classes) logits, in
                evaluation mode.
        """
        ...
