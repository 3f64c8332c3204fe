"""A cell's method -> what learns, what it learns from, and what is scored."""

from __future__ import annotations

from typing import Any

import torch

from sldd.compute import ComputeSettings
from sldd.detect import Scanned
from sldd.distill import LEARNED, Distillation, DistillSettings
from sldd.images import initial_images
from sldd.labels import initial_labels
from sldd.outer import Drawn, Learner
from sldd.patches import BalancedBatches, Patches
from sldd.privacy import PatientBatches, PrivacySettings, PrivateGradient
from sldd.split import Split
from sldd.streams import stream
from sldd.train import Training
from sldd.whole import WholeBatches, WholeFilms


def training_data(
    config: dict[str, Any], patches: Patches, batches: BalancedBatches, split: Split, privacy: PrivacySettings
) -> tuple[Scanned, Drawn]:
    """What a trial scores and learns from: for ordinary training, what its cell names; by patient, where private."""
    if privacy.noise is not None:
        return patches, PatientBatches(patches, split.train, privacy)
    if config.get("train_view") == "whole":
        films = WholeFilms(patches.cohort, patches.settings.input_size, patches.mean, patches.deviation)
        return films, WholeBatches(films, split.train)
    classes, per_class = config.get("train_classes") or "INP", config.get("train_patches")
    return patches, batches.subset(stream(config["seed"], "subset"), classes=classes, per_class=per_class)


def make_learner(
    network: torch.nn.Module,
    config: dict[str, Any],
    distill: DistillSettings,
    compute: ComputeSettings,
    batches: BalancedBatches,
    device: torch.device,
    *,
    track_statistics: bool,
    private: PrivateGradient | None = None,
) -> Learner:
    """The learner that a cell's method names."""
    if config["method"] == "train":
        return Training(network, device=device, compute=compute, track_statistics=track_statistics)
    image_init = "real" if config["method"] == "random_real" else distill.image_init
    images = initial_images(
        image_init, steps=config["distill_steps"], images=config["images"], seed=config["seed"], batches=batches
    )
    return Distillation(
        network,
        images,
        initial_labels(config["label_init"], config["images"]),
        epochs=config["distill_epochs"],
        inner_lr=config["inner_lr"],
        learned=LEARNED[config["method"]],
        settings=distill,
        compute=compute,
        track_statistics=track_statistics,
        private=private,
        seed=config["seed"],
        device=device,
    )
