"""The outer loop, shared by distillation and ordinary training: steps, evaluation, the best state, resuming.

A ``Learner`` knows how to improve on one batch of real patches and which network weights its state stands for. The
loop draws the batches, scores validation patients at even intervals, keeps the best state seen, and can be stopped
and resumed at any step. Test patients are scored once, at the end, by ``score``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Protocol

import torch
from annotated_types import Ge, Gt
from torch import nn

from sldd.backbones.norms import load_statistics
from sldd.data.prefetch import Batch, BatchSource, NumberedBatches, Prefetch
from sldd.data.split import Split
from sldd.errors import InputError
from sldd.metrics.evaluators import Evaluator, Scores, SelectionKey
from sldd.ops.digest import digest
from sldd.ops.dispatch import Kernels
from sldd.ops.types import Memory, ScoredPart, Weights
from sldd.rng import stream

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
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
    batches, as published."""
    statistics_batches: Annotated[int, Ge(1)] = 10
    """Real training batches averaged for precise statistics."""
    score_batch: Annotated[int, Ge(1)] = 256
    """Crops in memory at a time when a patient is scored."""
    checkpoint_every: Annotated[int, Gt(0)] = 25
    """Steps between checkpoints."""

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


class DivergedError(ArithmeticError):
    """A rate, loss or learned value is no longer finite."""


class Learner(Protocol):
    """What the outer loop trains: a distillation, or a network."""

    network: nn.Module

    @property
    def memory(self) -> Memory | None:
        """How the graphs of its inner steps are held; None where it has none."""
        ...

    def begin(self, batches: NumberedBatches, real: Iterable[torch.Tensor]) -> NumberedBatches:
        """Called once before training: wraps batches of patches for ``step``; ``real`` are batches for ``theta_bn``."""
        ...

    def inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Inputs of ``step`` for real images: themselves, or their features."""
        ...

    def step(self, inputs: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """One update on inputs as of ``begin``, of (batch,) classes, at this outer rate; returns the loss before."""
        ...

    def weights(self, state: State) -> Weights:
        """Network weights that a state stands for."""
        ...

    def forward(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """(batch, 3) logits under ``weights``."""
        ...

    def seen(self, parts: Iterator[ScoredPart], name: str | None) -> Iterator[ScoredPart]:
        """What ``logits`` are of, for images that have this digest: themselves, or features that may have been kept."""
        ...

    def logits(self, weights: Weights, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, 3) logits under ``weights``, of what ``seen`` gives."""
        ...

    def theta_bn(self, weights: Weights, real: Iterable[torch.Tensor]) -> State:
        """Batch-norm statistics that go with ``weights``; ``real`` are batches of patches to measure them over."""
        ...

    def state(self) -> State:
        """The network's current state, by name: detached, not copied."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to resume, the optimiser included."""
        ...

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore from ``state_dict``."""
        ...


def apply_gradients(
    optimiser: torch.optim.Optimizer, gradients: Sequence[torch.Tensor], rates: Sequence[float]
) -> None:
    """One step of ``optimiser`` along gradients that were computed outside autograd's own bookkeeping.

    Args:
        gradients: of the parameters, in the order of the groups.
        rates: of the groups.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimiser.step()
    optimiser.zero_grad()


def _all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Asked of the device once, however many tensors there are: each answer would make it wait."""
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def load_optimiser(optimiser: torch.optim.Adam, saved: dict[str, Any]) -> None:
    """Load an optimiser's state.

    Adam counts steps on the CPU. A checkpoint that was loaded to a GPU has them there, and every parameter would make
    the GPU wait in every step.
    """
    optimiser.load_state_dict(saved)
    for state in optimiser.state.values():
        state["step"] = state["step"].cpu()


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
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, float | int | None]] = field(default_factory=list)


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
        """True where the last evaluations, ``patience`` of them, found no better state: a function of what was
        evaluated alone, so that an interrupted run ends at the same step."""
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
        state = self.learner.state()
        if not _all_finite(state.values()):
            name = next(name for name, value in state.items() if not _all_finite([value]))
            raise DivergedError(f"{name} is not finite after outer step {number + 1}")
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
        return self._scores(self.learner.weights(self.best.state), self.best.theta_bn, patients)

    @torch.no_grad()
    def score_network(self, network: nn.Module, patients: list[int]) -> Scores:
        """Scores of another network, in evaluation mode, by the same evaluator."""
        with Kernels(twice=False):
            return self._evaluator.score(network, patients, batch=self.settings.score_batch, device=self._device)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to resume bit for bit on the same machine and thread count."""
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
        rate = self._rate * min(1.0, (step + 1) / (self.settings.warmup + 1))
        if self.settings.schedule == "constant":
            return rate
        return rate * 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))

    def _draw(self, number: int) -> Batch:
        return self._batches.draw(stream(self._seed, "batch", number), self.settings.batch_size)

    def _evaluate(self) -> None:
        state = self.learner.state()
        weights = self.learner.weights(state)
        if not _all_finite(weights):
            raise DivergedError(f"the network's weights are not finite after outer step {self.progress.step}")
        theta_bn = self.learner.theta_bn(weights, self._real())
        scores = self._scores(weights, theta_bn, self._split.validation)
        recent = self.progress.losses[-max(1, self.settings.steps // self.settings.evaluations) :]
        self.progress.history.append(
            {
                "step": self.progress.step,
                "loss": sum(recent) / len(recent),
                **scores.history(),
            }
        )
        key = scores.key
        if self._last or self.best is None or key > self.best.key:
            kept = {name: value.clone() for name, value in state.items()}
            self.best = Best(self.progress.step, key, kept, theta_bn, scores.headline)
            self._best_scores = kept, scores

    def _real(self) -> Iterator[torch.Tensor]:
        for number in range(self.settings.statistics_batches):
            images, _ = self._measured.draw(stream(self._seed, "statistics", number), self.settings.batch_size)
            yield images.to(self._device)

    def _scores(self, weights: Weights, theta_bn: State, patients: list[int]) -> Scores:
        network = self.learner.network
        load_statistics(network, theta_bn)
        training = network.training
        network.eval()
        try:
            with Kernels(twice=False):
                return self._evaluator.score(
                    lambda inputs: self.learner.logits(weights, inputs),
                    patients,
                    batch=self.settings.score_batch,
                    device=self._device,
                    seen=self.learner.seen,
                )
        finally:
            network.train(training)
