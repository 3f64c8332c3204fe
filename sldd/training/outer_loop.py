"""The outer loop, shared by distillation and ordinary training: steps, evaluation, the best state, resuming.

A ``Learner`` knows how to improve on one batch of real patches and which network weights its state stands for. The
loop draws the batches, scores validation patients at even intervals, keeps the best state seen, and can be stopped
and resumed at any step. Test patients are scored once, at the end, by ``score``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from sldd.backbones.norms import load_statistics
from sldd.data.prefetch import Batch, BatchSource, Prefetch, on_gpu
from sldd.data.split import Split
from sldd.metrics.evaluators import Evaluator, Scores, SelectionKey, rounded
from sldd.ops.digest import digest
from sldd.ops.dispatch import Kernels
from sldd.ops.layout import channels_last, to_channels_last
from sldd.ops.types import Weights
from sldd.rng import stream
from sldd.training.learner import Learner, State
from sldd.training.outer_settings import OuterSettings


class DivergedError(ArithmeticError):
    """A rate, loss or learned value is no longer finite."""


def _checked(predict: Callable[[torch.Tensor], torch.Tensor], whose: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """``predict``, with a DivergedError where its logits are not finite.

    Finite weights can give such logits; unnoticed, they would count as votes and have a place in a ranking.
    """

    def checked(inputs: torch.Tensor) -> torch.Tensor:
        logits = predict(inputs)
        if not _all_finite([logits]):
            raise DivergedError(f"logits are not finite: {whose}")
        return logits

    return checked


def _all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether all values of all tensors are finite.

    The device is asked once, however many tensors there are: each answer makes one wait for it. A sum is finite only
    where all that it adds is, and takes one pass where ``isfinite`` takes five. Where large values overflow it, the
    tensors are looked at one by one.
    """
    known = list(tensors)
    if not known or bool(torch.stack([tensor.sum(dtype=torch.float32) for tensor in known]).isfinite().all()):
        return True
    return all(bool(tensor.isfinite().all()) for tensor in known)


def _check_state(state: State, step: int) -> None:
    if not _all_finite(state.values()):
        name = next(name for name, value in state.items() if not _all_finite([value]))
        raise DivergedError(f"{name} is not finite after outer step {step}")


@dataclass
class Best:
    """The best state seen, by its scores on validation patients."""

    step: int
    key: SelectionKey
    state: State
    theta_bn: State
    score: float
    """The headline score: HM, or macro AUC."""


@dataclass
class Progress:
    """State of a run; plain values and tensors only, so that a checkpoint can hold it."""

    step: int = 0
    """Outer steps taken."""
    losses: list[float] = field(default_factory=list)
    """The loss of each step, on its own batch."""
    history: list[dict[str, float | int | None]] = field(default_factory=list)
    """An entry an evaluation: its step, the mean loss of the steps before it, and the scores (``Scores.history``)."""


class OuterLoop:
    """Trains a learner on the training patients of a split, and keeps its best state.

    Args:
        learner: what is improved.
        evaluator: scores states.
        batches: what is learned from; of training patients.
        split: who may be used for what.
        settings: budget and evaluation.
        rate: outer rate at the first step.
        seed: names the batches that are drawn.
        device: where the network runs.
        last: keep the last state, whatever validation patients say of it.
        measured: what precise statistics are measured over; the batches unless given.
    """

    def __init__(
        self,
        learner: Learner,
        evaluator: Evaluator,
        batches: BatchSource,
        split: Split,
        settings: OuterSettings,
        *,
        rate: float,
        seed: int,
        device: torch.device,
        last: bool = False,
        measured: BatchSource | None = None,
    ) -> None:
        self.learner = learner
        self.progress = Progress()
        self.best: Best | None = None
        self._best_scores: tuple[State, Scores] | None = None  # of validation patients, where this process scored them
        batches = on_gpu(batches, device)
        self._evaluator, self._batches, self._split = evaluator, batches, split
        self.settings = settings
        self._rate, self._seed, self._device, self._last = rate, seed, device, last
        self._measured = measured or batches
        content = getattr(batches, "fingerprint", None)
        name = content and digest(content, seed, settings.batch_size)
        drawn = Prefetch(self._draw, device, rows=settings.steps * settings.batch_size, name=name)
        self._training = learner.begin(drawn, self._real())
        self._evaluate_at = set(settings.evaluated_at)

    @property
    def finished(self) -> bool:
        """True once all steps are taken, or patience has run out."""
        return self.progress.step >= self.settings.steps or self.impatient

    @property
    def impatient(self) -> bool:
        """True where the last ``patience`` evaluations found no better state.

        It depends on the evaluations alone, so an interrupted run ends at the same step.
        """
        patience = self.settings.patience
        if patience is None or self.best is None or self._last:
            return False
        return sum(entry["step"] > self.best.step for entry in self.progress.history) >= patience  # type: ignore[operator]

    def advance(self) -> float:
        """One outer step, and an evaluation where one is due.

        Returns:
            The loss on the step's batch.

        Raises:
            DivergedError: the loss or a learned value is not finite; ``best`` still holds the best state before.
        """
        number = self.progress.step
        inputs, classes = self._training.get(number)
        loss = self.learner.step(inputs, classes, self._scheduled(number))
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} at outer step {number + 1}")
        _check_state(self.learner.learned(), number + 1)
        self.progress.step += 1
        self.progress.losses.append(loss)
        if self.progress.step in self._evaluate_at:
            self._evaluate()
        return loss

    def close(self) -> None:
        """End the thread that prepares batches, where there is one."""
        self._training.close()

    def score(self, patients: list[int]) -> Scores:
        """Scores of the best state's network on these patients.

        Raises:
            RuntimeError: nothing was evaluated yet.
        """
        if self.best is None:
            raise RuntimeError("no state has been evaluated")
        state, scores = self._best_scores or (None, None)
        if scores is not None and state is self.best.state and patients == self._split.validation:
            return scores
        weights = channels_last(self.learner.weights(self.best.state))
        return self._scores(weights, self.best.theta_bn, patients)

    @torch.no_grad()
    def score_network(self, network: nn.Module, patients: list[int]) -> Scores:
        """Scores of another network, in evaluation mode, by the same evaluator.

        Raises:
            DivergedError: its logits are not finite.
        """
        predict, batch = _checked(to_channels_last(network), "of a fresh start"), self.settings.score_batch
        with Kernels(twice=False):
            return self._evaluator.score(predict, patients, batch=batch, device=self._device)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to resume bit for bit on the same machine and thread count; on a GPU, with deterministic
        algorithms (``ComputeSettings.deterministic``)."""
        return {
            "learner": self.learner.state_dict(),
            "progress": vars(self.progress).copy(),
            "best": None if self.best is None else vars(self.best).copy(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore from ``state_dict``."""
        self.learner.load_state_dict(saved["learner"])
        self.progress = Progress(**saved["progress"])
        best = saved["best"]
        self.best = None if best is None else Best(**(best | {"key": tuple(best["key"])}))

    def _scheduled(self, step: int) -> float:
        """The outer rate of a step: linear warm-up times the schedule."""
        rate = self._rate * min(1.0, (step + 1) / (self.settings.warmup + 1))
        if self.settings.schedule == "constant":
            return rate
        return rate * 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))

    def _draw(self, number: int) -> Batch:
        return self._batches.draw(stream(self._seed, "batch", number), self.settings.batch_size)

    def _evaluate(self) -> None:
        """Score the current state on validation patients; it becomes ``best`` where it is, or always with ``last``."""
        state = self.learner.state()
        _check_state(state, self.progress.step)
        weights = channels_last(self.learner.weights(state))
        if not _all_finite(weights):
            raise DivergedError(f"the network's weights are not finite after outer step {self.progress.step}")
        theta_bn = self.learner.theta_bn(weights, self._real())
        if not _all_finite(theta_bn.values()):  # finite weights, and activations that are not: no package could have it
            raise DivergedError(f"batch norm's statistics are not finite after outer step {self.progress.step}")
        scores = self._scores(weights, theta_bn, self._split.validation)
        recent = self.progress.losses[-max(1, self.settings.steps // self.settings.evaluations) :]
        self.progress.history.append(
            {
                "step": self.progress.step,
                "loss": sum(recent) / len(recent),
                **scores.history(),
            }
        )
        key = rounded(scores.key)
        if self._last or self.best is None or key > self.best.key:
            kept = {name: value.clone() for name, value in state.items()}
            self.best = Best(self.progress.step, key, kept, theta_bn, scores.headline)
            self._best_scores = kept, scores

    def _real(self) -> Iterator[torch.Tensor]:
        """Batches of (batch, channels, height, width) real images, over which precise statistics are measured."""
        for number in range(self.settings.statistics_batches):
            images, _ = self._measured.draw(stream(self._seed, "statistics", number), self.settings.batch_size)
            yield images.to(self._device)

    def _scores(self, weights: Weights, theta_bn: State, patients: list[int]) -> Scores:
        """Scores of the network under ``weights`` and ``theta_bn``, in evaluation mode."""
        network = self.learner.network
        load_statistics(network, theta_bn)
        training = network.training
        network.eval()
        try:
            with Kernels(twice=False):
                return self._evaluator.score(
                    _checked(partial(self.learner.logits, weights), f"after outer step {self.progress.step}"),
                    patients,
                    batch=self.settings.score_batch,
                    device=self._device,
                    seen=self.learner.seen,
                )
        finally:
            network.train(training)
