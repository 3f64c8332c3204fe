"""Benchmark the outer step: against a plain training step, and recomputed against kept graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.func import functional_call

from benchmarks.measure import Figure, peak_bytes, ratio
from benchmarks.peers import Peer
from sldd.backbones.init import initialise
from sldd.backbones.norms import keep_no_statistics
from sldd.backbones.registry import build
from sldd.distillation.distill import Distillation
from sldd.distillation.unroll import Unroll
from sldd.training.compute import ComputeSettings, autocast_type

CPU = torch.device("cpu")


class Problem:
    """A network and one batch, to be trained plainly or distilled for.

    Args:
        side, batch, classes, images: pixels, real patches a step, classes, distilled images a step.
    """

    def __init__(
        self, backbone: str, *, side: int, batch: int, classes: int, images: int, device: torch.device = CPU
    ) -> None:
        self._backbone, self._side, self._classes, self._images = backbone, side, classes, images
        draw = torch.Generator().manual_seed(0)
        self._real = torch.randn(batch, 1, side, side, generator=draw).to(device)
        self._truth = (torch.arange(batch) % classes).to(device)
        self._device = device

    def plain(self, compute: ComputeSettings = ComputeSettings()) -> Callable[[], object]:
        """Forward, backward and the cheapest update there is: gradient descent in place."""
        network = self._network().to(self._device).to(memory_format=compute.memory_format)
        real, cast = self._real.contiguous(memory_format=compute.memory_format), autocast_type(compute.precision)
        names = [name for name, _ in network.named_parameters()]
        weights = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]

        def step() -> None:
            with torch.autocast(self._device.type, cast, enabled=cast is not None):
                logits = functional_call(network, dict(zip(names, weights, strict=True)), (real,))
            gradient = torch.autograd.grad(F.cross_entropy(logits.float(), self._truth), weights)
            with torch.no_grad():
                torch._foreach_sub_(weights, gradient, alpha=1e-4)

        return step

    def taken_by(self, step: Callable[[torch.Tensor, torch.Tensor], object]) -> Callable[[], object]:
        """Somebody else's step, on the same batch."""
        return lambda: step(self._real, self._truth)

    def distilling(self, *, steps: int = 1, epochs: int = 1, compute: ComputeSettings) -> Callable[[], object]:
        """One whole outer step: inner steps, outer pass, adjoint, Adam."""
        learner = self.learner(steps=steps, epochs=epochs, compute=compute)
        return lambda: self.step(learner)

    def step(self, learner: Distillation) -> float:
        """An outer step of a learner on the batch."""
        return learner.step(self._real, self._truth, 1e-4)

    def learner(self, *, steps: int = 1, epochs: int = 1, compute: ComputeSettings) -> Distillation:
        """What distils for this network."""
        draw = torch.Generator().manual_seed(1)
        labels = torch.eye(self._classes)[torch.arange(self._images) % self._classes]
        return Distillation(
            self._network(),
            torch.randn(steps, self._images, 1, self._side, self._side, generator=draw),
            labels,
            epochs=epochs,
            inner_lr=0.001,
            compute=compute,
            seed=0,
            device=self._device,
        )

    def inner(self, traced: bool) -> Callable[[], object]:
        """Three inner steps on the same images, with their adjoint, by programs where ``traced``."""
        draw = torch.Generator().manual_seed(1)
        images = torch.randn(1, self._images, 1, self._side, self._side, generator=draw)
        labels = torch.eye(self._classes)[None, torch.arange(self._images) % self._classes]
        unroll, rates = Unroll(self._network(), traced=traced), torch.full((3, 1), 0.001)
        return lambda: unroll.backward([weight.detach() for weight in unroll.steps(images, labels, rates)])

    def _network(self) -> torch.nn.Module:
        network = build(self._backbone, input_size=self._side, classes=self._classes)
        initialise(network, 0)
        keep_no_statistics(network)
        return network.train()


def figures(peer: Path | None = None) -> Iterator[Figure]:
    """Time and memory of outer steps.

    Args:
        peer: a checkout of ssnl/dataset-distillation, whose steps are taken in turns with ours.
    """
    keep, recompute = ComputeSettings(memory="keep"), ComputeSettings(memory="recompute")
    resnet = Problem("resnet18", side=64, batch=64, classes=3, images=3)
    plain = resnet.plain()
    yield Figure("outer step / plain step, resnet18, 64 px, M = 3", ratio(resnet.distilling(compute=keep), plain), 1.18)
    half = ComputeSettings(memory="keep", precision="bfloat16")
    yield Figure("the same, outer pass in bfloat16", ratio(resnet.distilling(compute=half), plain), 0.80)

    lenet = Problem("lenet", side=28, batch=256, classes=10, images=10)
    plain = lenet.plain()
    for steps, target in ((1, 1.35), (3, 2.5)):
        work = lenet.distilling(steps=steps, epochs=3, compute=keep)
        yield Figure(f"outer step / plain step, LeNet, 10 images, S = {steps}, E = 3", ratio(work, plain, 101), target)
    yield Figure("three inner steps, programs / autograd, LeNet", ratio(lenet.inner(True), lenet.inner(False)), 0.85)
    for name in ("paper/resnet18/8", "paper/googlenet/8"):
        small = Problem(name, side=96, batch=48, classes=3, images=3)
        value = ratio(small.inner(True), small.inner(False))
        yield Figure(f"three inner steps, programs / autograd, {name}, 96 px", value, 0.85)
    if peer is not None:
        for steps, epochs, target in ((1, 1, 1.0), (1, 3, 0.90), (3, 3, 0.90), (9, 3, 1.0)):
            theirs = lenet.taken_by(Peer(peer, steps=steps, epochs=epochs).step)
            value = ratio(lenet.distilling(steps=steps, epochs=epochs, compute=keep), theirs, 61)
            yield Figure(f"outer step / dataset-distillation's, LeNet, S = {steps}, E = {epochs}", value, target)

    for name, problem in (("resnet18", resnet), ("LeNet", lenet)):
        added = {
            count: peak_bytes(problem.distilling(epochs=count, compute=recompute)) - peak_bytes(problem.plain())
            for count in (3, 27)
        }
        yield Figure(f"memory the unroll adds, 27 steps / 3 steps, recomputing, {name}", added[27] / added[3], 1.3)
    for name, problem in (("resnet18", resnet), ("LeNet", lenet)):
        again, kept = (problem.distilling(epochs=9, compute=settings) for settings in (recompute, keep))
        yield Figure(f"time recomputing / keeping, 9 steps, {name}", ratio(again, kept), 1.30)
