"""A cell's method -> what learns, what it learns from, and what is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from sldd.data.augment import Augmented, AugmentSettings
from sldd.data.multilabel_batches import FilmBatches, nearest_films
from sldd.data.patches import BalancedBatches, Patches
from sldd.data.split import Split
from sldd.data.whole_films import WholeBatches, WholeFilms
from sldd.distillation.distill import LEARNED, Distillation, DistillSettings
from sldd.distillation.initial_findings import initial_findings
from sldd.distillation.initial_images import initial_images, noise_images
from sldd.distillation.initial_labels import initial_labels
from sldd.metrics.evaluators import FilmTask, PatientTask, Task
from sldd.rng import stream
from sldd.training.dp_sgd import PatientBatches, PrivateGradient
from sldd.training.losses import CROSS_ENTROPY, WEIGHTED_BCE
from sldd.training.outer_loop import Drawn, Learner
from sldd.training.supervised import Training
from study.config.schema import StudyConfig
from study.grid.protocol import fixed_delta
from study.trial.spec import TrialSpec

Seen = Patches | WholeFilms
"""What a study looks at: patches of patients, or whole films with findings."""
Batches = BalancedBatches | FilmBatches


class Materials(NamedTuple):
    """What a cell is trained and scored on."""

    seen: Seen
    split: Split
    batches: Batches


@dataclass(frozen=True)
class TrialData:
    """What scores a trial's states, what it learns from, and what batch-norm statistics are measured over."""

    task: Task
    drawn: Drawn
    measured: Drawn


def training_data(spec: TrialSpec, data: Materials, config: StudyConfig) -> TrialData:
    """For ordinary training, what its cell names; by patient, where private."""
    (seen, split, batches), cell = data, spec.cell
    if isinstance(batches, FilmBatches):
        assert isinstance(seen, WholeFilms)
        drawn = learned_films(batches, config.augment, cell.method)
        return TrialData(FilmTask(seen, batches.counts), drawn, batches)
    assert isinstance(seen, Patches)
    delta = fixed_delta(config.protocol)
    if config.privacy.noise is not None:
        private = PatientBatches(seen, split.train, config.privacy)
        return TrialData(PatientTask(seen, delta), private, private)
    if cell.train_view == "whole":
        films = WholeFilms(seen.cohort, seen.settings.input_size, seen.mean, seen.deviation)
        whole = WholeBatches(films, split.train)
        return TrialData(PatientTask(films, delta), whole, whole)
    classes, per_class = cell.train_classes or "INP", cell.train_patches
    subset = batches.subset(stream(spec.seed, "subset"), classes=classes, per_class=per_class)
    return TrialData(PatientTask(seen, delta), subset, subset)


def learned_films(batches: FilmBatches, augment: AugmentSettings, method: str) -> Drawn:
    """The films that a method learns from, changed where the study says so."""
    changed = augment.train if method == "train" else augment.distill
    return Augmented(batches, augment) if changed else batches


def make_learner(
    network: torch.nn.Module,
    spec: TrialSpec,
    config: StudyConfig,
    batches: Batches,
    device: torch.device,
    *,
    private: PrivateGradient | None = None,
) -> Learner:
    """The learner that a cell's method names."""
    loss = WEIGHTED_BCE if isinstance(batches, FilmBatches) else CROSS_ENTROPY
    tracks, cell = config.outer.statistics == "exponential", spec.cell
    if cell.method == "train":
        return Training(network, device=device, compute=config.compute, track_statistics=tracks, loss=loss)
    distill = spec.distill(config.distill)
    images, labels = _start(spec, distill, batches)
    assert cell.distill_epochs is not None
    assert spec.inner_lr is not None
    return Distillation(
        network,
        images,
        labels,
        epochs=cell.distill_epochs,
        inner_lr=spec.inner_lr,
        learned=LEARNED[cell.method],
        settings=distill,
        compute=config.compute,
        track_statistics=tracks,
        private=private,
        loss=loss,
        seed=spec.seed,
        device=device,
    )


def _start(spec: TrialSpec, distill: DistillSettings, batches: Batches) -> tuple[torch.Tensor, torch.Tensor]:
    """Where distilled images and their labels start."""
    cell, seed = spec.cell, spec.seed
    image_init = "real" if cell.method == "random_real" else distill.image_init
    steps, images, label_init = cell.distill_steps, cell.images, cell.label_init
    assert steps is not None
    assert images is not None
    assert label_init is not None
    if isinstance(batches, FilmBatches):
        labels = initial_findings(label_init, images, batches.labels, seed=seed)
        if image_init == "real":
            return nearest_films(batches, labels, steps=steps, seed=seed), labels
    else:
        labels = initial_labels(label_init, images)
        if image_init == "real":
            return initial_images("real", steps=steps, images=images, seed=seed, batches=batches), labels
    return noise_images(steps=steps, images=images, side=batches.side, seed=seed), labels
