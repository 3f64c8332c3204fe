"""How much k of a receiver's own patients add to a package: a curve of AUC over k, with the package and without.

Test patients are drawn first and are the same throughout. Of the others k are drawn for every seed, prevalence kept,
smaller draws within the larger ones, and a network is trained on their patches for a fixed number of steps:

    alone     from a fresh start of that seed, standardised by the k patients' own values
    package   from the network that the package stands for; at k = 0 that network itself
    beside    from the package's start, with its distilled images and soft labels beside every batch

Nothing is chosen on test patients: the last state is scored. The break-even count is how many own patients training
alone takes to come to the AUC of the package as it was received.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sldd.backbones.start import SEEDED
from sldd.data.cohort import Cohort
from sldd.data.patches import BalancedBatches, Patches
from sldd.data.split import Split, SplitSettings, split_patients
from sldd.errors import InputError
from sldd.metrics.auc_bootstrap import AucBootstrap, estimate
from sldd.metrics.intervals import Estimate
from sldd.metrics.patient_evaluator import PatientEvaluator, PatientScores
from sldd.metrics.patient_votes import count_votes
from sldd.ops.dispatch import Kernels
from sldd.package import Package
from sldd.package.rebuild.rebuild import rebuild, set_start, started
from sldd.pipeline.task_data import task_of
from sldd.rng import stream
from sldd.training.outer_loop import DivergedError, OuterLoop
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import Training

ALONE, PACKAGE, BESIDE = "alone", "package", "beside"
COUNTS = (0, 5, 10, 20, 50, 100, 200, 500)
"""Patients, as many of them as there are; then all."""
FEWEST = 2
"""Own patients, one of each label."""
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class FinetuneSettings:
    """Budget of every training, and which patients."""

    counts: tuple[int, ...] = COUNTS
    arms: tuple[str, ...] = (ALONE, PACKAGE)
    seeds: int = 3
    steps: int = 150
    rate: float = 0.002
    batch_size: int = 48
    test: float = 0.4
    """Share of the patients that is tested."""


@dataclass(frozen=True)
class Point:
    """AUC of one arm at one count."""

    arm: str
    count: int
    auc: Estimate
    advantage: Estimate | None
    """Over training alone on the same patients; None at k = 0 and for that itself."""


@dataclass(frozen=True)
class FinetuneCurve:
    """All points, and the break-even count: None of what no tested count came to."""

    points: list[Point]
    break_even: float | None
    break_even_low: float | None
    break_even_high: float | None
    tested: int
    own: int
    seeds: int


def finetune(
    package: Package,
    network: nn.Module,
    cohort: Cohort,
    settings: FinetuneSettings = FinetuneSettings(),
    *,
    start: Path | str | None = None,
    done: Callable[[], object] = lambda: None,
) -> FinetuneCurve:
    """Measure the curve.

    Args:
        network: the package's, as ``rebuild`` gives it.
        cohort: with labels, and masks of all that may train.
        start: as of ``rebuild``.
        done: called after every training.

    Raises:
        InputError: the cohort is none that the package is for, or a count is none that it has.
    """
    split = _split(package, cohort, settings)
    counts = counts_of(settings, len(split.train))
    if not set(settings.arms) <= {ALONE, PACKAGE, BESIDE}:
        raise InputError(f"--arms: choose from {ALONE}, {PACKAGE}, {BESIDE}")
    labels = np.array([cohort.labels[patient] for patient in split.test])
    drawn = AucBootstrap(labels, settings.seeds)
    received = drawn.aucs(
        _scores(network, Patches(cohort, package.patches, package.mean, package.deviation), split.test)
    )
    aucs: dict[tuple[str, int], np.ndarray] = {(PACKAGE, 0): received}
    for count in filter(None, counts):
        for arm in settings.arms:
            runs = []
            for seed in range(settings.seeds):
                own = own_patients(cohort, split.train, count, seed)
                runs.append(_trained(arm, package, start, cohort, Split(own, split.test, split.test), settings, seed))
                done()
            aucs[arm, count] = drawn.aucs(np.stack(runs))
    return FinetuneCurve(
        [_point(arm, count, aucs) for arm, count in sorted(aucs, key=lambda key: (key[1], key[0]))],
        *_break_even(received, [(count, aucs[ALONE, count]) for count in counts if (ALONE, count) in aucs]),
        len(split.test),
        len(split.train),
        settings.seeds,
    )


def counts_of(settings: FinetuneSettings, own: int) -> list[int]:
    """The counts that there are patients for, in order, and all of them."""
    wanted = sorted(set(settings.counts))
    if not wanted or wanted[0] < 0 or any(0 < count < FEWEST for count in wanted):
        raise InputError(f"--counts: 0, or {FEWEST} and more, so that one of each label is among them")
    return [count for count in wanted if count < own] + [own]


def own_patients(cohort: Cohort, pool: Sequence[int], count: int, seed: int) -> list[int]:
    """``count`` patients of the pool in its prevalence, of each label one at least; those of a smaller count are among
    those of a larger one."""
    groups = [[patient for patient in pool if cohort.labels[patient] == label] for label in (0, 1)]
    positive = min(max(round(count * len(groups[1]) / len(pool)), 1), count - 1, len(groups[1]))
    positive = max(positive, count - len(groups[0]))
    orders = [stream(seed, "finetune", label).permutation(group).tolist() for label, group in enumerate(groups)]
    return sorted(orders[0][: count - positive] + orders[1][:positive])


def _split(package: Package, cohort: Cohort, settings: FinetuneSettings) -> Split:
    if package.task != "patches" or task_of(cohort) != "patches":
        kinds = {"patches": "patches of patients", "classes": "images of one class each", "multilabel": "findings"}
        raise InputError(
            f"finetune is for patches of patients with a label, and the package is for {kinds[package.task]}, "
            f"the cohort of {kinds[task_of(cohort)]}; whole films: start a study from the package (grid.start=PACKAGE)"
        )
    if (cohort.channels, cohort.depth) != (package.channels, package.depth):
        raise InputError(
            f"cohort: films of {cohort.depth} bit and {cohort.channels} channels, and the package was made for "
            f"{package.depth} bit and {package.channels}; convert them as its maker did"
        )
    return split_patients(cohort, SplitSettings(0.0, settings.test), needed=("train", "test"))


def _trained(
    arm: str,
    package: Package,
    start: Path | str | None,
    cohort: Cohort,
    split: Split,
    settings: FinetuneSettings,
    seed: int,
) -> np.ndarray:
    """(test patients,) scores after training on the split's own patients."""
    if arm == PACKAGE:
        network = rebuild(package, start)
    else:
        network = started(package, start)
        if arm == ALONE and package.start in SEEDED:
            set_start(network, backbone=package.backbone, start=package.start, seed=seed, classes=len(package.classes))
    own = cohort.intensity(split.train) if arm == ALONE else (package.mean, package.deviation)
    patches = Patches(cohort, package.patches, *own)
    try:
        batches = BalancedBatches(patches, split.train)
    except InputError as error:
        raise InputError(
            f"{len(split.train)} own patients of seed {seed}: {error}; or leave out small --counts"
        ) from None
    outer = OuterSettings(steps=settings.steps, batch_size=settings.batch_size, evaluations=1)
    images = (package.images.flatten(0, 1), package.labels.flatten(0, 1)) if arm == BESIDE else None
    learner = Training(network, device=_CPU, beside=images)
    evaluator = PatientEvaluator(patches)
    loop = OuterLoop(learner, evaluator, batches, split, outer, rate=settings.rate, seed=seed, device=_CPU, last=True)
    try:
        while not loop.finished:
            loop.advance()
    except DivergedError as error:
        raise InputError(f"a training diverged ({error}); choose a smaller --rate") from None
    finally:
        loop.close()
    found = loop.score(split.test)
    assert isinstance(found, PatientScores)
    return found.votes.scores


@torch.no_grad()
def _scores(network: nn.Module, patches: Patches, patients: list[int]) -> np.ndarray:
    with Kernels(twice=False):
        return count_votes(network, patches, patients, batch=OuterSettings.score_batch, device=_CPU).scores[None]


def _point(arm: str, count: int, aucs: dict[tuple[str, int], np.ndarray]) -> Point:
    found, alone = aucs[arm, count], aucs.get((ALONE, count))
    return Point(arm, count, estimate(found), None if alone is None or arm == ALONE else estimate(found - alone))


def _break_even(
    received: np.ndarray, alone: list[tuple[int, np.ndarray]]
) -> tuple[float | None, float | None, float | None]:
    """How many own patients training alone takes to come to what was received: as seen, and by the draws."""
    if not alone:
        return None, None, None
    counts = np.array([0, *(count for count, _ in alone)], float)
    curves = np.stack([np.full(len(received), 0.5), *(aucs for _, aucs in alone)], 1)
    found = np.array(list(_crossings(counts, curves, received)))
    low, high = np.quantile(found[1:], [0.025, 0.975], method="inverted_cdf")
    seen, low, high = (None if np.isinf(value) else float(value) for value in (found[0], low, high))
    return seen, low, high


def _crossings(counts: np.ndarray, curves: np.ndarray, levels: np.ndarray) -> Iterator[float]:
    """For each row the first count, by straight lines between them, at which the curve comes to its level; or inf."""
    for curve, level in zip(curves, levels, strict=True):
        reached = np.flatnonzero(curve >= level)
        if not len(reached):
            yield np.inf
        elif reached[0] == 0:
            yield 0.0
        else:
            after = reached[0]
            rise = (level - curve[after - 1]) / (curve[after] - curve[after - 1])
            yield counts[after - 1] + rise * (counts[after] - counts[after - 1])
