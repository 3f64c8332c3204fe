"""A cell's method -> what learns, what it learns from, and what is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
from sldd.training.compute import ComputeSettings
from sldd.training.dp_sgd import PatientBatches, PrivacySettings, PrivateGradient
from sldd.training.losses import CROSS_ENTROPY, WEIGHTED_BCE
from sldd.training.outer_loop import Drawn, Learner
from sldd.training.supervised import Training

Seen = Patches | WholeFilms
"""What a study looks at: patches of patients, or whole films with findings."""
Batches = BalancedBatches | FilmBatches


@dataclass(frozen=True)
class TrialData:
    """What scores a trial's states, what it learns from, and what batch-norm statistics are measured over."""

    task: Task
    drawn: Drawn
    measured: Drawn


def training_data(
    config: dict[str, Any],
    seen: Seen,
    batches: Batches,
    split: Split,
    privacy: PrivacySettings,
    augment: AugmentSettings,
    delta: float | None,
) -> TrialData:
    """For ordinary training, what its cell names; by patient, where private.

    Args:
        delta: the threshold on a patient's score, where it is fixed.
    """
    if isinstance(batches, FilmBatches):
        assert isinstance(seen, WholeFilms)
        drawn = learned_films(batches, augment, config["method"])
        return TrialData(FilmTask(seen, batches.counts), drawn, batches)
    assert isinstance(seen, Patches)
    if privacy.noise is not None:
        private = PatientBatches(seen, split.train, privacy)
        return TrialData(PatientTask(seen, delta), private, private)
    if config.get("train_view") == "whole":
        films = WholeFilms(seen.cohort, seen.settings.input_size, seen.mean, seen.deviation)
        whole = WholeBatches(films, split.train)
        return TrialData(PatientTask(films, delta), whole, whole)
    classes, per_class = config.get("train_classes") or "INP", config.get("train_patches")
    subset = batches.subset(stream(config["seed"], "subset"), classes=classes, per_class=per_class)
    return TrialData(PatientTask(seen, delta), subset, subset)


def learned_films(batches: FilmBatches, augment: AugmentSettings, method: str) -> Drawn:
    """The films that a method learns from, changed where the study says so."""
    changed = augment.train if method == "train" else augment.distill
    return Augmented(batches, augment) if changed else batches


def make_learner(
    network: torch.nn.Module,
    config: dict[str, Any],
    distill: DistillSettings,
    compute: ComputeSettings,
    batches: Batches,
    device: torch.device,
    *,
    track_statistics: bool,
    private: PrivateGradient | None = None,
) -> Learner:
    """The learner that a cell's method names."""
    loss = WEIGHTED_BCE if isinstance(batches, FilmBatches) else CROSS_ENTROPY
    if config["method"] == "train":
        return Training(network, device=device, compute=compute, track_statistics=track_statistics, loss=loss)
    images, labels = _start(config, distill, batches)
    return Distillation(
        network,
        images,
        labels,
        epochs=config["distill_epochs"],
        inner_lr=config["inner_lr"],
        learned=LEARNED[config["method"]],
        settings=distill,
        compute=compute,
        track_statistics=track_statistics,
        private=private,
        loss=loss,
        seed=config["seed"],
        device=device,
    )


def _start(config: dict[str, Any], distill: DistillSettings, batches: Batches) -> tuple[torch.Tensor, torch.Tensor]:
    """Where distilled images and their labels start."""
    image_init = "real" if config["method"] == "random_real" else distill.image_init
    steps, images, seed = config["distill_steps"], config["images"], config["seed"]
    if isinstance(batches, FilmBatches):
        labels = initial_findings(config["label_init"], images, batches.labels, seed=seed)
        if image_init == "real":
            return nearest_films(batches, labels, steps=steps, seed=seed), labels
    else:
        labels = initial_labels(config["label_init"], images)
        if image_init == "real":
            return initial_images("real", steps=steps, images=images, seed=seed, batches=batches), labels
    return noise_images(steps=steps, images=images, side=batches.side, seed=seed), labels
