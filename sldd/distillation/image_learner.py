"""Base learner of distilled images, soft labels and inner rates; a method adds what one outer step does.

All methods give a receiver the same three: images (S, M, ...), soft labels and inner rates. From the known start the
receiver takes S x E inner steps on them (Li et al. 2022, Algorithm 2), and every method is scored through these steps.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn

from sldd.backbones.features.feature_store import FeatureStore
from sldd.backbones.features.kept_features import scored_features
from sldd.backbones.head import Head, last_layer
from sldd.backbones.norms import keep_no_statistics, load_statistics, measure_statistics, statistics
from sldd.data.prefetch import NumberedBatches
from sldd.distillation.clip import AdaptiveClip
from sldd.distillation.initial.images import ImageInit
from sldd.distillation.initial.rates import relative_rate, relative_rates
from sldd.distillation.unroll import Unroll
from sldd.ops.types import InnerWeights, Memory, ScoredPart, Weights
from sldd.training.compute import ComputeSettings, autocast_type
from sldd.training.learner import State, apply_gradients, load_optimiser
from sldd.training.losses import CROSS_ENTROPY, Loss

LEARNED = ("images", "labels", "rates")
"""What can be learned."""

_SMALLEST_SHARE = 0.01
"""Share under which a label's class cannot start when labels are softmax or sigmoid outputs, whose logits would be
infinite; nor above 1 less it, where sigmoid ones."""


@dataclass(frozen=True)
class DistillSettings:
    """How distilled images are learned; all of it may be searched (``search.options``)."""

    image_init: ImageInit = "noise"
    """Where images start: white noise, as published; pink noise, which pretrained networks tell apart; or real training
    patches."""
    labels: Literal["raw", "softmax", "sigmoid"] = "raw"
    """Soft labels as they are learned, free of any constraint, or as the softmax of what is learned, or its sigmoid,
    entry by entry: that of films with several findings."""
    rates: Literal["tensor", "step"] = "tensor"
    """One learned inner rate for each parameter tensor of the network, or one a step, as published."""
    rate_unit: Literal["share", "absolute"] = "share"
    """What ``search.inner_lr`` says: the share of a tensor's norm that the inner steps change at the start, ten times
    as much in the last layer; or the inner rate itself, as published, which suits few networks."""
    label_update: Literal["auto", "gradient", "solved"] = "auto"
    """How soft labels are learned: along their gradient, as published; or solved for the images at hand at every outer
    step (``sldd.distillation.label_solver``), which needs fewer steps, and a single inner step of the last layer, of
    classes. ``auto``: solved where that can be."""
    label_lr: Annotated[float, Gt(0)] = 1.0
    """Adam's rate on soft labels that follow their gradient, in multiples of the outer rate, which is that on
    images."""
    rate_lr: Annotated[float, Gt(0)] = 3.0
    """Adam's rate on the logarithms of inner rates, in multiples of the outer rate."""
    inner_weights: InnerWeights = "all"
    """What the inner steps change: all weights, as published, or those of the last layer (``sldd.backbones.head``). The
    rest then stays as it starts, with ``theta_bn`` measured there, and many more outer steps fit into the same time."""
    feature_bank: Annotated[int, Ge(3)] = 18_000
    """Real patches whose features are kept where only the last layer changes; later steps draw from these."""
    inner_momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Momentum of the inner steps; receivers must use the same, so the package names it."""
    window: Annotated[int, Ge(1)] | None = None
    """Random truncated window (RaT-BPTT, Feng et al. 2023): each outer step stops after a random number of inner
    steps and goes back through the last ``window`` of them. None: through all, always."""
    clip: Annotated[float, Gt(0)] | None = 2.0
    """Scale the gradient of images, labels or rates down to at most this many times its usual norm."""
    average: Annotated[float, Ge(0), Lt(1)] = 0.98
    """Decay of an exponential moving average of what is learned; the average is what is evaluated and shared."""


class ImageLearner(ABC):
    """Images, soft labels and inner rates for one network with a known start, and the optimiser of what is learned.

    Args:
        network: initialised; its parameters are the start ``theta_0`` and stay as they are.
        images: (S, M, channels, height, width), where the images start.
        labels: (M, C), where the soft labels of each of the S batches start.
        epochs: E, how often the S batches are repeated.
        inner_lr: where the inner rates start; see ``DistillSettings.rate_unit``.
        learned: what of ``LEARNED`` changes; the rest stays as it starts.
        track_statistics: let batch norm's running statistics follow the real batches (``OuterSettings.statistics``).
        loss: of inner steps and of the outer pass.
        store: keeps features of real images for other trials, where only the last layer changes.
        seed: names the random choices.
        device: where the tensors lie.
    """

    def __init__(
        self,
        network: nn.Module,
        images: torch.Tensor,
        labels: torch.Tensor,
        *,
        epochs: int = 1,
        inner_lr: float,
        learned: Sequence[str] = LEARNED,
        settings: DistillSettings = DistillSettings(),
        compute: ComputeSettings = ComputeSettings(),
        track_statistics: bool = False,
        loss: Loss = CROSS_ENTROPY,
        store: FeatureStore | None = None,
        seed: int,
        device: torch.device,
    ) -> None:
        self._store, self._device, self._loss = store, device, loss
        self.network = network.to(device).to(memory_format=compute.memory_format).train()
        keep_no_statistics(network)
        self._settings, self._compute, self._seed = settings, compute, seed
        self._head = Head(network) if settings.inner_weights == "head" else None
        if self._head is not None:
            self._head.check(images[0].to(device))
        self._track_statistics = track_statistics and self._head is None
        changed = network if self._head is None else self._head.layer
        self._unroll = Unroll(
            changed,
            momentum=settings.inner_momentum,
            memory=compute.memory,
            autocast=autocast_type(compute.inner_precision),
            loss=loss.inner,
            rates_stay=compute.cuda_graph,
        )
        self._learned: State = {
            "images": images.to(device, copy=True),
            "labels": self._label_params(labels).expand(len(images), -1, -1).to(device, copy=True),
            "rates": torch.empty(0, device=device),
        }
        self._inner_lr, self._epochs = inner_lr, epochs
        self._learned["rates"] = self._first_rates().log()
        self._average = {name: value.clone() for name, value in self._learned.items()} if settings.average else None
        self._solved_names = self._names_to_solve(learned)
        self._optimised = [name for name in self._learned if name in learned and name not in self._solved_names]
        paces = {"images": 1.0, "labels": settings.label_lr, "rates": settings.rate_lr}
        self._paces = [paces[name] for name in self._optimised]
        self._adam = torch.optim.Adam([{"params": [self._learned[name]]} for name in self._optimised])
        self._clip = AdaptiveClip(settings.clip) if settings.clip else None
        self._taken = 0

    @property
    def inner_steps(self) -> int:
        """S x E."""
        return math.prod(self._learned["rates"].shape[:2])

    @property
    def memory(self) -> Memory:
        """How the graphs of inner steps are held; once a step was taken, what ``auto`` chose."""
        return self._unroll.memory

    def begin(self, batches: NumberedBatches, real: Iterable[torch.Tensor]) -> NumberedBatches:
        """Batches for ``step``: of patches, as they come."""
        return batches

    def inputs(self, images: torch.Tensor) -> torch.Tensor:
        """The images themselves."""
        return images

    def _names_to_solve(self, learned: Sequence[str]) -> Sequence[str]:
        """Those of ``learned`` that each outer step solves for the rest; Adam takes the others."""
        return []

    @abstractmethod
    def step(self, inputs: torch.Tensor, classes: torch.Tensor, rate: float) -> float:
        """One outer step on a batch of real images, at this outer rate; the loss before it."""

    def _update(self, gradients: dict[str, torch.Tensor], rate: float) -> None:
        """Clip the gradients of what is learned, take Adam's step along them, and let the average follow."""
        if self._clip is not None:
            self._clip.apply(gradients)
        apply_gradients(self._adam, list(gradients.values()), [rate * pace for pace in self._paces])
        self._taken += 1
        self._update_average()

    def weights(self, state: State) -> Weights:
        """``theta_opt`` of a state: the inner steps without their graphs (Algorithm 2)."""
        with torch.no_grad():
            inner_inputs = self._with_features(state)
        return self._unroll.steps(*(inner_inputs[name] for name in LEARNED), differentiable=False)

    def forward(self, weights: Weights, images: torch.Tensor) -> torch.Tensor:
        """(batch, C) logits under ``weights``."""
        return self._unroll.forward(weights, images if self._head is None else self._head.features(images))

    def seen(self, parts: Iterator[ScoredPart], name: str | None) -> Iterator[ScoredPart]:
        """The images themselves, or their features, which the store may have."""
        return parts if self._head is None else scored_features(self._head, parts, self._store, name)

    def logits(self, weights: Weights, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, C) logits under ``weights``, of images or features as ``seen`` gives them."""
        return self._unroll.forward(weights, inputs)

    def theta_bn(self, weights: Weights, real: Iterable[torch.Tensor]) -> State:
        """Statistics that go with ``weights``: measured over ``real``, or as the steps or ``begin`` left them."""
        if self._track_statistics or self._head is not None:
            return statistics(self.network)
        return measure_statistics(self.network, lambda images: self.forward(weights, images), real)

    def state(self) -> State:
        """The shared state: images (S, M, ...), soft labels (S, M, C), inner rates (E, S[, T]), for the inner steps."""
        return self.learned()

    def learned(self) -> State:
        """The same by what is learned alone."""
        chosen = self._learned if self._average is None else self._average
        return {name: value.detach() for name, value in self._inner_inputs(chosen).items()}

    def state_dict(self) -> dict[str, Any]:
        """Learned values, their average, Adam's moments, usual gradient norms, steps taken and running statistics."""
        return {
            "learned": {name: value.detach() for name, value in self._learned.items()},
            "average": self._average,
            "adam": self._adam.state_dict(),
            "norms": self._clip.norms if self._clip else {},
            "taken": self._taken,
            "statistics": statistics(self.network) if self._track_statistics else {},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore from ``state_dict``."""
        for name, value in saved["learned"].items():
            self._learned[name].copy_(value)
        self._average = saved["average"]
        load_optimiser(self._adam, saved["adam"])
        if self._clip is not None:
            self._clip.norms = dict(saved["norms"])
        self._taken = saved["taken"]
        load_statistics(self.network, saved["statistics"])

    def _inner_inputs(self, params: State) -> State:
        """Images, labels and rates from the parameters.

        A rate is learned as its logarithm: Adam's steps then change it by a factor, so that it can grow tenfold.
        """
        labels = params["labels"]
        if self._settings.labels != "raw":
            labels = labels.softmax(-1) if self._settings.labels == "softmax" else labels.sigmoid()
        return {"images": params["images"], "labels": labels, "rates": params["rates"].exp()}

    def _with_features(self, inner_inputs: State) -> State:
        """The inner inputs, with the images' features in place of the images where only the last layer changes."""
        if self._head is None:
            return inner_inputs
        return inner_inputs | {"images": self._head.features(inner_inputs["images"])}

    def _first_rates(self) -> torch.Tensor:
        """(E, S), or (E, S, T) of T tensors: where inner rates start."""
        return self._rates_at(self._inner_inputs(self._learned))

    def _rates_at(self, inner_inputs: State) -> torch.Tensor:
        """Inner rates (E, S), or (E, S, T) of T tensors, for these images and labels.

        Inner steps at these rates change a share ``inner_lr`` of the weights. Or the rates are ``inner_lr`` itself,
        where it is absolute (``DistillSettings.rate_unit``).
        """
        per_tensor, batches = self._settings.rates == "tensor", len(inner_inputs["images"])
        shape = (self._epochs, batches, len(self._unroll.names)) if per_tensor else (self._epochs, batches)
        if self._settings.rate_unit == "absolute":
            return torch.full(shape, self._inner_lr, device=inner_inputs["images"].device)
        with torch.no_grad():
            inner_inputs = self._with_features(inner_inputs)
        start, share, epochs = self._unroll.start, self._inner_lr, self._epochs
        gradients = self._unroll.first_gradients(inner_inputs["images"], inner_inputs["labels"])
        if per_tensor:
            last, _ = last_layer(self.network if self._head is None else self._head.layer)
            rates = relative_rates(self._unroll.names, start, gradients, share=share, epochs=epochs, last=last)
        else:
            rates = relative_rate(start, gradients, share=share, epochs=epochs)
        return rates.expand(shape).clone()  # the same for every step

    def _label_params(self, labels: torch.Tensor) -> torch.Tensor:
        if self._settings.labels == "raw":
            return labels
        if self._settings.labels == "sigmoid":
            return labels.clamp(_SMALLEST_SHARE, 1 - _SMALLEST_SHARE).logit()
        return labels.clamp(min=_SMALLEST_SHARE).log()

    @torch.no_grad()
    def _update_average(self) -> None:
        if self._average is None:
            return
        # A young average follows quickly: its start would weigh on it for 1 / (1 - decay) steps.
        decay = min(self._settings.average, (1 + self._taken) / (10 + self._taken))
        for name, value in self._learned.items():
            self._average[name].lerp_(value, 1 - decay)
