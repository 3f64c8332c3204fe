"""Soft-label dataset distillation: Algorithm 1 of Li et al. 2022, one outer step at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from sldd.backbones.features.kept_features import FeatureBatches
from sldd.backbones.norms import measure_statistics, tracking_statistics
from sldd.data.prefetch import NumberedBatches
from sldd.distillation.image_learner import LEARNED, DistillSettings, ImageLearner
from sldd.distillation.label_solver import FIRST_UPDATES, UPDATES, solved_labels
from sldd.errors import InputError
from sldd.ops.cuda_graph import GraphedCall
from sldd.ops.digest import digest
from sldd.rng import stream
from sldd.training.compute import outer_gradient
from sldd.training.dp_sgd import PrivateGradient
from sldd.training.learner import State
from sldd.training.losses import CROSS_ENTROPY, Loss


def unsolvable(settings: DistillSettings, loss: Loss, *, inner_steps: int, private: bool) -> str | None:
    """Why labels cannot be solved for images (``sldd.distillation.label_solver``); None where they can."""
    for bars, what in (
        (settings.inner_weights != "head", "the inner step changes all weights (distill.inner_weights)"),
        (inner_steps > 1, f"there are {inner_steps} inner steps"),
        (settings.labels != "raw", f"labels are {settings.labels} outputs (distill.labels)"),
        (loss is not CROSS_ENTROPY, "films have findings and no classes"),
        (private, "a private result looks at patients through noise only"),
    ):
        if bars:
            return f"distill.label_update: labels cannot be solved where {what}; use auto or gradient"
    return None


def ungraphable(settings: DistillSettings, *, private: bool, gpu: bool = True) -> str | None:
    """Why outer steps cannot be CUDA graphs; None where they can."""
    for bars, what in (
        (not gpu, "there is no GPU"),
        (settings.window is not None, "each step goes back through another part of the inner steps (distill.window)"),
        (private, "a private batch has another number of patients every time (privacy.noise)"),
    ):
        if bars:
            return f"compute.cuda_graph: steps cannot be recorded where {what}; set it to false"
    return None


class Distillation(ImageLearner):
    """Learns images, soft labels and inner rates through the inner steps of one network with a known start.

    Args:
        private: makes the outer gradient private; batches are then those of ``sldd.training.dp_sgd.PatientBatches``.
        others: as of ``ImageLearner``.
    """

    def __init__(
        self, *given: Any, private: PrivateGradient | None = None, loss: Loss = CROSS_ENTROPY, **others: Any
    ) -> None:
        self._private = private is not None
        super().__init__(*given, loss=loss, **others)
        self._outer_gradient = private or partial(outer_gradient, loss=loss.outer)
        self._differentiated: Callable[..., tuple[torch.Tensor | float, State]] = self._gradients
        if self._compute.cuda_graph:
            reason = ungraphable(self._settings, private=self._private, gpu=self._device.type == "cuda")
            if reason is not None:
                raise InputError(reason)
            self._differentiated = GraphedCall(self._gradients)

    def _names_to_solve(self, learned: Sequence[str]) -> Sequence[str]:
        if "labels" not in learned:
            return []
        how = self._settings.label_update
        reason = unsolvable(self._settings, self._loss, inner_steps=self.inner_steps, private=self._private)
        if how == "solved" and reason is not None:
            raise InputError(reason)
        return ["labels"] if how != "gradient" and reason is None else []

    def begin(self, batches: NumberedBatches, real: Iterable[torch.Tensor]) -> NumberedBatches:
        """Batches for ``step``: patches as they come, or their features where only the last layer changes.

        Features depend on the body's batch-norm statistics. So ``theta_bn`` is measured first, over ``real``, and the
        inner rates start anew for the features that follow.
        """
        if self._head is None:
            return batches
        if self._private:  # a kept bank would bring a patient back in steps for which no coin was tossed
            return batches
        measure_statistics(self.network, self.network, real)
        first = self._first_rates().log()
        for state in (self._learned, *([] if self._average is None else [self._average])):
            state["rates"].copy_(first)
        rows = min(self._settings.feature_bank, batches.rows or self._settings.feature_bank)
        body, size = self._head.fingerprint(), self._compute.micro_batch
        return FeatureBatches(
            batches,
            self.inputs,
            rows=rows,
            seed=self._seed,
            store=None if batches.name is None else self._store,
            key=digest("bank", body, batches.name, rows, size),
            device=self._device,
        )

    def inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Inputs of ``step`` for real patches: the patches, or their features."""
        if self._head is None:
            return images
        parts = images.split(self._compute.micro_batch or len(images))
        with torch.no_grad():
            return torch.cat([self._head.features(part) for part in parts])

    def step(self, inputs: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """One outer step: Algorithm 1, lines 4 to 6.

        Args:
            inputs: (batch, channels, height, width) real patches, or (batch, ...) their features (``begin``).
            classes: (batch,) int64, or (batch, classes) findings.
            rate: the outer rate.

        Returns:
            The outer loss L on the batch, before the update.
        """
        loss, gradients = self._differentiated(inputs, classes)
        self._update(gradients, rate)
        return float(loss)

    def _gradients(
        self, inputs: torch.Tensor, classes: torch.Tensor
    ) -> tuple[torch.Tensor | float, dict[str, torch.Tensor]]:
        """The outer loss on a batch as of ``step``, and its gradients by name, each shaped like what is learned."""
        params = {name: value.detach().requires_grad_() for name, value in self._learned.items()}
        inner_inputs = self._with_features(self._inner_inputs(params))
        if "labels" in self._solved_names:
            solved = self._solved(inner_inputs, inputs, classes)
            self._learned["labels"].copy_(solved)
            inner_inputs["labels"] = solved
        images, labels, rates = (inner_inputs[name] for name in LEARNED)
        theta = self._unroll.steps(images, labels, rates, stop=self._stop(), window=self._settings.window)
        with tracking_statistics(self.network) if self._track_statistics else nullcontext():
            if self._private and len(inputs):  # a private batch is patches (``begin``)
                inputs = self.inputs(inputs)
            loss, outer = self._outer_gradient(self._unroll.forward, theta, inputs, classes, self._compute)
        to_inner_inputs = vars(self._unroll.backward(outer))
        # From inner inputs to parameters: through the body, the labels' softmax or sigmoid, the rates' logarithm.
        names = self._optimised
        to_params = torch.autograd.grad(
            [inner_inputs[n] for n in names], [params[n] for n in names], [to_inner_inputs[n] for n in names]
        )
        return loss, dict(zip(names, to_params, strict=True))

    def _solved(self, inner_inputs: State, real: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """(1, M, C) labels solved for the images' features and a batch of real features; see ``solved_labels``."""
        images, labels, rates = (inner_inputs[name].detach() for name in LEARNED)
        return solved_labels(
            self._unroll.start,
            rates[0, 0],
            made=images[0],
            labels=labels[0],
            real=real,
            truth=truth,
            updates=UPDATES if self._taken else FIRST_UPDATES,
        )[None]

    def _stop(self) -> int | None:
        """Inner steps in this outer step: a random number where a window is shorter than all (RaT-BPTT), else None."""
        window = self._settings.window
        if window is None or window >= self.inner_steps:
            return None
        return int(stream(self._seed, "window", self._taken).integers(window, self.inner_steps + 1))
