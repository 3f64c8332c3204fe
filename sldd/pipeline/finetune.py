"""How much k of a receiver's own patients add to a package: a curve of AUC over k, with the package and without.

Test patients are drawn first, unless the data say who they are, and are the same throughout. From the others each seed
draws k, at the prevalence of all of them, so that a smaller draw is part of a larger one. A network is then trained on
their patches, or their films, for a fixed number of steps, in one of three arms:

    alone     from a fresh start of that seed, or from weights that are to be had without the package: published ones,
              or a file's; standardised by the k patients' own values
    package   from the network that the package stands for; at k = 0 that network itself
    beside    from the package's start, with its distilled images and soft labels beside every batch

With whole films the AUC is the mean over classes, or findings, each against the rest, and its bootstrap draws patients
with all their films. Nothing is chosen on test patients: the last state is scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sldd.backbones.start import PRETRAINED, SEEDED, XAVIER
from sldd.data.cohort import Cohort
from sldd.data.split import Split, SplitSettings, split_patients
from sldd.errors import InputError
from sldd.metrics.auc_bootstrap import AucBootstrap, FilmAucBootstrap, estimate
from sldd.metrics.classes import ClassScores
from sldd.metrics.evaluators import Scores
from sldd.metrics.film_evaluator import FilmScores
from sldd.metrics.intervals import Estimate
from sldd.metrics.patient_evaluator import PatientScores
from sldd.ops.dispatch import Kernels
from sldd.ops.layout import to_channels_last
from sldd.package import Package
from sldd.package.format.package import of_packages
from sldd.package.rebuild.rebuild import rebuild, set_start, started
from sldd.pipeline.break_even import break_even
from sldd.pipeline.own_patients import group_of, own_patients
from sldd.pipeline.received_cohort import check_films
from sldd.pipeline.task_data import TaskData, task_data, task_of
from sldd.training.outer_loop import DivergedError, OuterLoop
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import Training

ALONE, PACKAGE, BESIDE = "alone", "package", "beside"
COUNTS = (0, 5, 10, 20, 50, 100, 200, 500)
"""Usual values of k. Those below the number of own patients are taken, and that number itself is always added."""
FEWEST = 2
"""Own patients to train on, at least: one of each label. Where there are more classes, one of each."""
_TESTED = 0.4
"""Share of the patients that is tested, unless it is given or the data say who is."""
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class FinetuneSettings:
    """Budget of every training, and which patients.

    Raises:
        InputError: an arm that there is not, or a rate or share that is none.
    """

    counts: tuple[int, ...] = COUNTS
    arms: tuple[str, ...] = (ALONE, PACKAGE)
    seeds: int = 3
    steps: int = 150
    rate: float = 0.002
    batch_size: int = 48
    test: float | None = None
    """Share of the patients that is tested: 0.4 unless given. Where the data divide their patients they say who is."""

    def __post_init__(self) -> None:
        if not set(self.arms) <= {ALONE, PACKAGE, BESIDE}:
            raise InputError(f"--arms: choose from {ALONE}, {PACKAGE}, {BESIDE}")
        if not 0 < self.rate < math.inf:
            raise InputError(f"--rate: a number above 0 (got {self.rate:g})")
        if self.test is not None and not 0 < self.test < 1:
            raise InputError(f"--test: a share between 0 and 1 (got {self.test:g})")


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
    """All points, and the break-even count: None where no tested count comes to it, or nothing was trained alone."""

    points: list[Point]
    break_even: float | None
    break_even_low: float | None
    break_even_high: float | None
    tested: int
    own: int
    seeds: int
    score: str = "AUC"
    whose: str = "patient"
    """Who is counted: a patient, or the subject of an image."""

    @property
    def trained_alone(self) -> bool:
        """Whether there is anything to break even with."""
        return any(point.arm == ALONE for point in self.points)


def finetune(
    package: Package,
    network: nn.Module,
    cohort: Cohort,
    settings: FinetuneSettings = FinetuneSettings(),
    *,
    start: Path | str | None = None,
    bar: Callable[[int], AbstractContextManager[Callable[[], object]]] = lambda trainings: nullcontext(lambda: None),
) -> FinetuneCurve:
    """Measure the curve.

    Args:
        network: the package's, as ``rebuild`` gives it.
        cohort: with labels, and masks of all that may train; or films of the package's classes or findings.
        start: as of ``rebuild``.
        bar: of so many trainings; gives what is called after each.

    Raises:
        InputError: the cohort is none that the package is for, a count is none that it has, or batches are
            too small for its classes.
    """
    split = _split(package, cohort, settings)
    groups = group_of(cohort, package.task)
    fewest = max(FEWEST, len(package.classes)) if package.task == "classes" else FEWEST
    counts = counts_of(settings, len(split.train), fewest)
    data = _data(package, cohort, split)
    _check_classes(package, data)
    if (few := data.batch_refusal(settings.batch_size, "--batch")) is not None:
        raise InputError(few)
    with Kernels(twice=False):
        found = data.evaluator().score(
            to_channels_last(network), split.test, batch=OuterSettings.score_batch, device=_CPU
        )
    bootstrap = _bootstrap(found, cohort, split, settings.seeds)
    received = bootstrap.aucs(_values(found)[None])
    aucs: dict[tuple[str, int], np.ndarray] = {(PACKAGE, 0): received}  # (1 + draws,) each
    arms = [(count, arm) for count in counts if count for arm in settings.arms]
    with bar(len(arms) * settings.seeds) as done:
        for count, arm in arms:
            runs = []
            for seed in range(settings.seeds):
                own = Split(own_patients(groups, split.train, count, seed), split.test, split.test)
                fresh = _start_of(arm, package, start, seed)
                runs.append(_trained(arm, fresh, package, cohort, own, settings, seed))
                done()
            aucs[arm, count] = bootstrap.aucs(np.stack(runs))
    return FinetuneCurve(
        [_point(arm, count, aucs) for arm, count in sorted(aucs, key=lambda key: (key[1], key[0]))],
        *break_even(received, [(count, aucs[ALONE, count]) for count in counts if (ALONE, count) in aucs]),
        len(split.test),
        len(split.train),
        settings.seeds,
        "AUC" if package.task == "patches" else "mean AUC",
        cohort.words[0],
    )


def counts_of(settings: FinetuneSettings, own: int, fewest: int = FEWEST) -> list[int]:
    """Counts to test, in rising order: those below ``own``, the number of own patients, and that number itself. Usual
    counts below ``fewest`` are left out, and counts of the user's own below it are an InputError."""
    wanted = sorted(set(settings.counts))
    if settings.counts == COUNTS:
        wanted = [count for count in wanted if not 0 < count < fewest]
    if not wanted or wanted[0] < 0 or any(0 < count < fewest for count in wanted):
        raise InputError(f"--counts: 0, or {fewest} and more, so that one of each label or class is among them")
    return [count for count in wanted if count < own] + [own]


def _split(package: Package, cohort: Cohort, settings: FinetuneSettings) -> Split:
    """Own patients to train on, and those who are tested, as the data divide them or else by the share to be tested."""
    kinds = {"patches": "patches of patients", "classes": "images of one class each", "multilabel": "findings"}
    task = task_of(cohort)
    if (package.task == "patches") != (task == "patches"):
        raise InputError(f"the package is for {kinds[package.task]}, and the cohort is of {kinds[task]}")
    check_films(package, cohort)
    if settings.test is not None and any(cohort.splits):
        raise InputError(
            "--test: the data say who is tested (the manifest's split column, folders of splits); leave it, or these, "
            "out"
        )
    share = _TESTED if settings.test is None else settings.test
    split = split_patients(cohort, SplitSettings(0.0, share), needed=("train", "test"))
    # Nothing is chosen here, so that validation patients can train as well, where masks say what their patches show.
    own = [
        patient
        for patient in split.validation
        if package.task != "patches" or all(cohort.has_mask[film] for film in cohort.films_of[patient])
    ]
    return Split(sorted([*split.train, *own]), [], split.test)


def _check_classes(package: Package, data: TaskData) -> None:
    classes = data.input.classes
    if tuple(classes) != tuple(package.classes):
        raise InputError(
            f"cohort: its classes are {', '.join(classes)}, and the package's are {', '.join(package.classes)}; give "
            "films of the same, by the same names"
        )


def _data(package: Package, cohort: Cohort, split: Split, *, own: bool = False) -> TaskData:
    """The cohort as the package's networks see it; standardised by its ``own`` values, or else by the maker's."""
    intensity = None if own else (package.mean, package.deviation)
    return task_data(cohort, package.patches, split, task=package.task, intensity=intensity)


def _bootstrap(found: Scores, cohort: Cohort, split: Split, seeds: int) -> AucBootstrap | FilmAucBootstrap:
    if isinstance(found, ClassScores):
        return FilmAucBootstrap(found.patients, np.eye(len(found.classes))[found.truth], seeds)
    if isinstance(found, FilmScores):
        return FilmAucBootstrap(found.patients, found.labels, seeds)
    return AucBootstrap(np.array([cohort.labels[patient] for patient in split.test]), seeds)


def _values(found: Scores) -> np.ndarray:
    """(test patients,) scores, or (test films, classes) probabilities."""
    if isinstance(found, PatientScores):
        return found.votes.scores
    assert isinstance(found, ClassScores | FilmScores)
    return found.probabilities


def _start_of(arm: str, package: Package, start: Path | str | None, seed: int) -> nn.Module:
    """The network that training in an arm starts from."""
    if arm == PACKAGE:
        return rebuild(package, start)
    network = started(package, start)
    if arm == ALONE:
        _forget(network, package, start, seed)
    return network


def _trained(
    arm: str, network: nn.Module, package: Package, cohort: Cohort, split: Split, settings: FinetuneSettings, seed: int
) -> np.ndarray:
    """The ``_values`` of test patients by a network, after it was trained on the split's own patients."""
    try:
        data = _data(package, cohort, split, own=arm == ALONE)
    except InputError as error:
        raise InputError(
            f"{len(split.train)} own {cohort.words[0]}s of seed {seed}: {error}; or leave out small --counts"
        ) from None
    outer = OuterSettings(steps=settings.steps, batch_size=settings.batch_size, evaluations=1)
    images = (package.images.flatten(0, 1), package.labels.flatten(0, 1)) if arm == BESIDE else None
    learner = Training(network, device=_CPU, loss=data.loss, beside=images)
    loop = OuterLoop(
        learner, data.evaluator(), data.batches, split, outer, rate=settings.rate, seed=seed, device=_CPU, last=True
    )
    try:
        while not loop.finished:
            loop.advance()
    except DivergedError as error:
        raise InputError(f"a training diverged ({error}); choose a smaller --rate") from None
    finally:
        loop.close()
    return _values(loop.score(split.test))


def _forget(network: nn.Module, package: Package, start: Path | str | None, seed: int) -> None:
    """Draw a package's start anew from a seed, unless it is public: published weights, or those of a file.

    A start that came from a seed is drawn in the same way. Any other is replaced by Xavier's: another package's
    network, or packages averaged, knows those hospitals' patients, and of weights that are only in the package nobody
    can tell whom they know. All other files count as public, whatever made them.
    """
    public = package.start == PRETRAINED or (
        package.weights is None and start is not None and not of_packages(Path(start))
    )
    if package.start in SEEDED or not public:
        set_start(
            network,
            backbone=package.backbone,
            start=package.start if package.start in SEEDED else XAVIER,
            seed=seed,
            norm=package.norm,
            classes=package.classes,
        )


def _point(arm: str, count: int, aucs: dict[tuple[str, int], np.ndarray]) -> Point:
    found, alone = aucs[arm, count], aucs.get((ALONE, count))
    return Point(arm, count, estimate(found), None if alone is None or arm == ALONE else estimate(found - alone))
