"""Expert trajectories: networks trained on real images from fresh starts, with their weights along the way.

They depend on the network, on the images and on how training goes, and on nothing that a trial chooses, so that all
trials and studies of a machine share one buffer. It is kept as features are
(``sldd.backbones.features.feature_store``): a file an expert, which appears whole or not at all under a digest of all
that decides it, with the core seconds that it cost. What a kill left is made anew; two who make the same expert write
the same weights. Experts are made when a step first asks for one, so that trials that run at the same time make others,
and an interrupted trial has lost one expert at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from time import process_time

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from sldd.backbones.features.feature_store import FeatureStore
from sldd.data.prefetch import BatchSource
from sldd.distillation.alternatives.matching import Networks
from sldd.distillation.alternatives.settings import ExpertSettings
from sldd.ops.digest import digest, outputs_digest
from sldd.ops.dispatch import Kernels
from sldd.ops.types import Weights
from sldd.rng import stream
from sldd.training.siamese import identity, siamese

_SEED = 0
"""Of all experts: they are nobody's in particular."""
_DECIDING = ("snapshots", "every", "batch_size", "rate", "momentum")
"""Settings by which an expert becomes what it is; the others are of who follows it."""


def experts_bytes(network: nn.Module, settings: ExpertSettings) -> int:
    """What the trajectories of all experts take."""
    return settings.count * (settings.snapshots + 1) * sum(parameter.nbytes for parameter in network.parameters())


class ExpertBuffer:
    """Trajectories by number, from the store or made now.

    Args:
        network: says what is trained, as it is built (``Networks``).
        batches: real training images, as they are.
        settings: how many experts there are, and how they learn.
        augment: they see each batch changed at random (``sldd.training.siamese``).
        store: keeps them; None keeps them in memory only.

    Attributes:
        made: how many it has made itself.
        lent: core seconds of those that were there, by the number of the expert; 0 for those that it made itself.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: BatchSource,
        settings: ExpertSettings,
        store: FeatureStore | None,
        *,
        augment: bool,
    ) -> None:
        self._network, self._batches, self._settings, self._augment = network, batches, settings, augment
        content = getattr(batches, "fingerprint", None)
        self._store = store if content is not None else None
        self._content = content
        self._networks = Networks(network, _SEED)
        self._memory: dict[int, torch.Tensor] = {}
        self.made = 0
        self.lent: dict[int, float] = {}

    def trajectory(self, number: int) -> torch.Tensor:
        """(snapshots + 1, parameters) weights of an expert along its way, each flattened."""
        if number in self._memory:
            return self._memory[number]
        key = "" if self._store is None else digest(self._key, number)
        found = None if self._store is None else self._store.read(key)
        self.lent.setdefault(number, 0.0 if found is None else float(found["core_seconds"]))
        if found is not None:
            return found["features"]
        self.made += 1
        made = torch.empty(self._settings.snapshots + 1, sum(p.numel() for p in self._network.parameters()))
        if self._store is None or self._store.trouble is not None:
            for place, weights in enumerate(self._make(number)):
                made[place] = weights
        else:
            begun = process_time()
            with self._store.writing(key) as draft:
                for place, weights in enumerate(self._make(number)):
                    draft.append(weights[None])
                    made[place] = weights  # should there be no room for the file
                draft.finish(core_seconds=torch.tensor(process_time() - begun, dtype=torch.float64))
            if (kept := self._store.read(key)) is not None:
                return kept["features"]
        self._memory[number] = made
        return made

    @cached_property
    def _key(self) -> str:
        network = self._network
        return digest(
            "expert and cost", str(network), [[name, list(p.shape)] for name, p in network.named_parameters()],
            self._first(), self._content, {name: getattr(self._settings, name) for name in _DECIDING},
            torch.__version__, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability(),
            str(next(network.parameters()).device), self._augment,
        )  # fmt: skip

    def _first(self) -> str:
        """Digest of expert 0's logits on its first batch: networks with the same layers and shapes may compute other
        functions, or start from other weights."""
        self._network.train()
        return outputs_digest(lambda: self._logits(self._networks(0), 0, 0)[0])

    def _logits(self, weights: Weights, number: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, C) logits of an expert's batch, and its (batch,) classes."""
        random = stream(_SEED, "expert", number, step)
        images, classes = self._batches.draw(random, self._settings.batch_size)
        change = siamese(stream(_SEED, "expert change", number, step)) if self._augment else identity
        names = [name for name, _ in self._network.named_parameters()]
        with Kernels(twice=False):
            logits = functional_call(
                self._network, dict(zip(names, weights, strict=True)), (change(images.to(weights[0].device)),)
            )
        return logits, classes.to(logits.device)

    def _make(self, number: int) -> Iterator[torch.Tensor]:
        """Weights along gradient descent with momentum on batches of real images, from a fresh start. One at a time:
        all of a large network's would take its memory many times over."""
        settings = self._settings
        weights = [weight.requires_grad_() for weight in self._networks(number)]
        optimiser = torch.optim.SGD(weights, settings.rate, momentum=settings.momentum)
        yield _flat(weights)
        self._network.train()
        for step in range(settings.snapshots * settings.every):
            logits, classes = self._logits(weights, number, step)
            optimiser.zero_grad()
            F.cross_entropy(logits, classes).backward()
            optimiser.step()
            if (step + 1) % settings.every == 0:
                yield _flat(weights)


def _flat(weights: Weights) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in weights]).cpu()
