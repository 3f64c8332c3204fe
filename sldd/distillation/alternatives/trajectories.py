"""Trajectory matching (Cazenavette et al. 2022): distilled images take weights where real images took an expert's.

From an expert's weights theta*_t a student takes N inner steps on the distilled images, and is to arrive where the
expert was M snapshots later (Eq. 2 and Alg. 1):

    L = || theta_{t+N} - theta*_{t+M} ||^2 / || theta*_t - theta*_{t+M} ||^2

t is drawn from the first ``match.experts.latest`` snapshots. Each step of the student sees the images under another
augmentation, as experts see real ones (``match.augment``). The student's rate is learned on a log scale. Its steps and
the way back through them are those of any unrolled distillation (``sldd.distillation.unroll``), from another start.
The rates that receivers get are not the student's, which suit a network that has been trained, but follow from the
images like those of other methods that match.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from sldd.data.prefetch import NumberedBatches, Prefetch
from sldd.distillation.alternatives.experts import ExpertBuffer
from sldd.distillation.alternatives.matching import Matching
from sldd.distillation.unroll import Unroll
from sldd.ops.types import Weights
from sldd.rng import stream
from sldd.training.compute import autocast_type


class TrajectoryMatching(Matching):
    """Images (and labels) that lead along expert trajectories; arguments as of ``Matching``.

    Args:
        experts: their trajectories.
    """

    def __init__(self, *given: Any, experts: ExpertBuffer, **others: Any) -> None:
        super().__init__(*given, **others)
        self.experts = experts
        self._student = Unroll(
            self.network,
            memory=self._compute.memory,
            autocast=autocast_type(self._compute.inner_precision),
            loss=self._loss.inner,
        )
        rate = torch.tensor(self._match.experts.rate, device=self._device).log()
        self._rate = torch.nn.Parameter(rate, requires_grad=True)
        self._rate_adam = torch.optim.Adam([self._rate])
        self._by_rate = torch.zeros((), device=self._device)  # dL / d log(rate) of the last step

    def _matched(
        self, images: torch.Tensor, labels: torch.Tensor, real: torch.Tensor, classes: torch.Tensor
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        settings, (batches, size) = self._match.experts, self._learned["images"].shape[:2]
        random = stream(self._seed, "expert", self._taken)
        trajectory = self.experts.trajectory(int(random.integers(settings.count)))
        begin = int(random.integers(settings.latest))
        first, last = (self._parted(trajectory[place]) for place in (begin, begin + settings.span))
        self._student.start = first
        seen = images.split(size) * settings.student_epochs
        made = torch.stack([self._change(step)(batch) for step, batch in enumerate(seen)])
        soft = labels.unflatten(0, (batches, size)).repeat(settings.student_epochs, 1, 1)
        rates = self._rate.detach().exp().expand(1, len(seen))
        theta = self._student.steps(made, soft, rates)
        length = _square(torch._foreach_sub(first, last))
        apart = torch._foreach_sub([weight.detach() for weight in theta], last)
        loss = float(_square(apart) / length)
        found = self._student.backward(list(torch._foreach_mul(apart, 2 / length)))  # from dL / d theta_{t+N}
        self._by_rate = found.rates.sum() * rates[0, 0]  # dL / d log(rate) = rate dL / d rate
        by_images, by_labels = torch.autograd.grad([made, soft], [images, labels], [found.images, found.labels])
        return loss, by_images, by_labels

    def begin(self, batches: NumberedBatches, real: Iterable[torch.Tensor]) -> NumberedBatches:
        """Empty batches: a step reads no real images, since the experts have learned from them."""
        return Prefetch(lambda number: (torch.empty(0), torch.empty(0, dtype=torch.long)), self._device, ahead=False)

    def step(self, inputs: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """As of ``Matching``, and of the student's rate."""
        loss = super().step(inputs, classes, rate)
        self._rate.grad = self._by_rate.view_as(self._rate)
        self._rate_adam.param_groups[0]["lr"] = rate * self._settings.rate_lr
        self._rate_adam.step()
        return loss

    def _parted(self, flat: torch.Tensor) -> Weights:
        """A tensor for each parameter, from a snapshot's flat weights."""
        sizes = [weight.numel() for weight in self._unroll.start]
        parts = flat.to(self._device).split(sizes)
        return [part.view_as(like).clone() for part, like in zip(parts, self._unroll.start, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """As of ``ImageLearner``, with the student's rate and its optimiser."""
        student = {"rate": self._rate.detach(), "adam": self._rate_adam.state_dict()}
        return super().state_dict() | {"student": student}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        super().load_state_dict(saved)
        with torch.no_grad():
            self._rate.copy_(saved["student"]["rate"])
        self._rate_adam.load_state_dict(saved["student"]["adam"])


def _square(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """The squared length of all together."""
    return torch.stack([part.square().sum() for part in parts]).sum()
