"""Ways of making a package that may give less away: how each distils, and what is done to the package afterwards.

plain          as it is; early-25, early-50, early-75: the same run, stopped after that share of its steps
float16, uint8, labels-1, labels-0    plain, with images stored so, or labels rounded to so many decimals
group          group norm, so that there are no batch-norm statistics (networks with batch norm only)
public-bn      statistics measured on public films (networks with batch norm only)
one-image      one distilled image for all
quarter        a quarter of the outer steps; quarter-batch: a quarter of the patches in each
clipped        each patient's gradient in a step clipped to a norm of 1, without noise
noise-1, noise-4    and with noise of so many times that: differentially private, by patient
labels-only    images stay the noise that they start from; labels and rates are learned
trained        the positive control: no package, the same weights, trained on the patients until they know them by heart
               (--train-steps of Adam; of the last layer alone of L-BFGS, on as many patches as are kept)
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.sharing.options import patch_settings
from sldd.backbones.head import Head
from sldd.backbones.init import layer_fingerprints
from sldd.backbones.norms import batch_norms, load_statistics, measure_statistics
from sldd.backbones.registry import build
from sldd.backbones.start import set_start
from sldd.data.cohort import Cohort
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.split import Split
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import LEARNED, DistillSettings
from sldd.package import Package, Stored
from sldd.package.format.header import Images
from sldd.package.format.image_encoding import stored
from sldd.package.rebuild.rebuild import rebuild
from sldd.pipeline.packing import Start, header_of, package_of
from sldd.pipeline.task_data import PatchData
from sldd.rng import stream
from sldd.training.dp_sgd import PatientBatches, PrivacySettings, PrivateGradient
from sldd.training.learner import Learner
from sldd.training.outer_loop import OuterLoop
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import Training

CPU = torch.device("cpu")
NO_NOISE = 1e-6
"""Clipping alone: a private gradient needs some."""
EVALUATIONS = 4
"""Times in a run at which an ``early`` arm has a package, the last one at its end."""
FormOf = Callable[[Package], Package]
"""What makes another form of a package."""


@dataclass(frozen=True)
class Arm:
    """One distillation, and the forms in which its package is attacked.

    Attributes:
        forms: what is done to the package afterwards, by name.
        learned: of images, labels and rates.
        privacy: clipping and noise of each patient's gradient; None for neither.
        norm: of networks with batch norm; others keep theirs.
        public: measure batch-norm statistics on public films.
        images: distilled ones, where not as many as the other arms have.
        steps, batch: shares of the outer steps, and of a batch's patches.
        early: attack the states on the way, too.
        control: train on the patients instead; there is no package.
        needs_statistics: only for networks with batch norm.
    """

    forms: dict[str, FormOf] = field(default_factory=dict)
    learned: tuple[str, ...] = LEARNED
    privacy: PrivacySettings | None = None
    norm: Literal["as_is", "group"] = "as_is"
    public: bool = False
    images: int | None = None
    steps: float = 1.0
    batch: float = 1.0
    early: bool = False
    control: bool = False
    needs_statistics: bool = False

    @property
    def definition(self) -> dict[str, Any]:
        """Its settings as plain values; forms, which are functions, by name."""
        return asdict(replace(self, forms={})) | {"forms": [*self.forms]}


def _stored(how: Images) -> FormOf:
    return lambda package: replace(package, images=torch.from_numpy(stored(package.images.numpy(), how)[0]))


def _rounded(decimals: int) -> FormOf:
    return lambda package: replace(package, labels=package.labels.round(decimals=decimals))


ARMS = {
    "plain": Arm(
        {"float16": _stored("float16"), "uint8": _stored("uint8"), "labels-1": _rounded(1), "labels-0": _rounded(0)},
        early=True,
    ),
    "group": Arm(norm="group", needs_statistics=True),
    "public-bn": Arm(public=True, needs_statistics=True),
    "one-image": Arm(images=1),
    "quarter": Arm(steps=0.25),
    "quarter-batch": Arm(batch=0.25),
    "clipped": Arm(privacy=PrivacySettings(NO_NOISE), norm="group"),
    "noise-1": Arm(privacy=PrivacySettings(1.0), norm="group"),
    "noise-4": Arm(privacy=PrivacySettings(4.0), norm="group"),
    "labels-only": Arm(learned=("labels", "rates")),
    "trained": Arm(control=True),
}


@dataclass(frozen=True)
class Made:
    """A network of an arm, patches standardised for it, and the package that it is rebuilt from (control: None)."""

    network: nn.Module
    patches: Patches
    package: Package | None


def applies(arm: Arm, options: argparse.Namespace) -> bool:
    """Whether the arm differs from the plain one for this network."""
    return not arm.needs_statistics or bool(batch_norms(_network(options, "as_is")))


def make(
    name: str, cohort: Cohort, split: Split, seed: int, options: argparse.Namespace, public: Cohort
) -> Iterator[tuple[str, Made]]:
    """What an arm makes of the training patients of a split, by form; the start is that of the seed.

    Args:
        public: films of nobody who is to be protected, for statistics.

    Yields:
        The early states, the last state, and its other forms; of the control only the network.
    """
    arm = ARMS[name]
    settings = patch_settings(options)
    patches = Patches(cohort, settings, *cohort.intensity(split.train))
    data = PatchData(patches, split)
    steps, batch = _budget(arm, options)
    norm = arm.norm if batch_norms(_network(options, "as_is")) else "as_is"
    network = _network(options, norm)
    set_start(network, backbone=options.backbone, start=options.start, seed=seed)
    start = Start(options.backbone, norm, options.start, seed, layer_fingerprints(network))
    if arm.control and options.inner_weights == "head":
        yield name, Made(_fitted(network, data, steps, seed, options), patches, None)
        return
    outer = OuterSettings(
        steps=steps,
        batch_size=batch,
        evaluations=EVALUATIONS if arm.early else 1,
        statistics_batches=options.statistics_batches,
    )
    loop = OuterLoop(
        _learner(arm, network, data, batch, seed, options),
        data.evaluator(),
        data.batches if arm.privacy is None else PatientBatches(patches, split.train, arm.privacy),
        split,
        outer,
        rate=options.train_lr if arm.control else options.outer_lr,
        seed=seed,
        device=CPU,
        last=True,
        measured=_public_batches(public, settings) if arm.public else data.batches,
    )
    try:
        for share, due in enumerate(outer.evaluated_at, 1):
            while loop.progress.step < due:
                loop.advance()
            if arm.control:
                yield name, Made(_trained(loop), patches, None)
                return
            package = _package(loop, start, data, settings, _distill(options))
            if due < outer.steps:
                yield f"early-{100 * share // EVALUATIONS}", _made(package, patches)
    finally:
        loop.close()
    yield name, _made(package, patches)
    for form, changed in arm.forms.items():
        yield form, _made(changed(package), patches)


def _budget(arm: Arm, options: argparse.Namespace) -> tuple[int, int]:
    """Outer steps, and patches in each."""
    if arm.control:
        return options.train_steps, options.train_batch or options.batch
    return max(EVALUATIONS, round(arm.steps * options.steps)), max(3, round(arm.batch * options.batch))


def _network(options: argparse.Namespace, norm: str) -> nn.Module:
    return build(options.backbone, input_size=options.input, norm=norm)


def _learner(
    arm: Arm, network: nn.Module, data: PatchData, batch: int, seed: int, options: argparse.Namespace
) -> Learner:
    if arm.control:
        return Training(network, device=CPU)
    labels = data.initial_labels("one_hot", arm.images or options.images, seed)
    return Distillation(
        network,
        data.initial_images("noise", labels, 1, seed),
        labels,
        inner_lr=options.inner_lr,
        learned=arm.learned,
        settings=_distill(options),
        private=None if arm.privacy is None else PrivateGradient(arm.privacy, batch),
        seed=seed,
        device=CPU,
    )


def _public_batches(public: Cohort, settings: PatchSettings) -> BalancedBatches:
    everybody = range(public.patients)
    return BalancedBatches(Patches(public, settings, *public.intensity(everybody)), everybody)


def _distill(options: argparse.Namespace) -> DistillSettings:
    return DistillSettings(inner_weights=options.inner_weights)


def _package(loop: OuterLoop, start: Start, data: PatchData, settings: PatchSettings, how: DistillSettings) -> Package:
    assert loop.best is not None
    header = header_of(start, data, distill=how, inner_precision="float32", patches=settings, delta=0.5)
    return package_of(loop.best, header, stored=Stored(get_args(Images)[0]))


def _made(package: Package, patches: Patches) -> Made:
    return Made(rebuild(package), patches, package)


def _fitted(network: nn.Module, data: PatchData, steps: int, seed: int, options: argparse.Namespace) -> nn.Module:
    """The control of the last layer: the network with that layer fitted to the features of as many training patches
    as a distillation keeps, by L-BFGS."""

    def drawn(what: str, count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        random = stream(seed, "privacy benchmark", what)
        return (data.batches.draw(random, options.batch) for _ in range(count))

    statistics = drawn("statistics", options.statistics_batches)
    load_statistics(network, measure_statistics(network, network, (images for images, _ in statistics)))
    head, batches = Head(network), drawn("control", math.ceil(_distill(options).feature_bank / options.batch))
    with torch.no_grad():
        parts = [(head.features(images), classes) for images, classes in batches]
    features, classes = (torch.cat(part) for part in zip(*parts, strict=True))
    weights = list(head.layer.requires_grad_().parameters())
    optimiser = torch.optim.LBFGS(weights, max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        found = F.cross_entropy(head.layer(features), classes)
        found.backward()
        return found

    optimiser.step(loss)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def _trained(loop: OuterLoop) -> nn.Module:
    """The control of all weights: the network of the last state, with its batch-norm statistics."""
    assert loop.best is not None
    network = loop.learner.network
    load_statistics(network, loop.best.theta_bn)
    for parameter, weight in zip(network.parameters(), loop.learner.weights(loop.best.state), strict=True):
        parameter.copy_(weight)
    return network.eval()
