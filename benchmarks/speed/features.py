"""Benchmark trials through the last layer: the first of a start on a machine, and later ones, which find its features.

CPU seconds of whole trials, as a study runs them, on phantom patients.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.measure import Figure
from sldd.backbones.features.feature_store import FeatureStore
from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.data.cohort import default_cache, prepare
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.split import SplitSettings, split_patients
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import DistillSettings
from sldd.distillation.initial.images import noise_images
from sldd.distillation.initial.labels import initial_labels
from sldd.metrics.patient_evaluator import PatientEvaluator
from sldd.sources.phantom import PhantomSettings, PhantomSource
from sldd.training.outer_loop import OuterLoop
from sldd.training.outer_settings import OuterSettings

NETWORKS = {"tf_efficientnet_lite0": 96, "convnet_w32": 48}
CPU = torch.device("cpu")
ROOM = 2**33  # bytes
STEPS = 100  # outer


def trial(backbone: str, side: int, store: FeatureStore | None) -> tuple[float, list[float]]:
    """CPU seconds of a trial, and its losses."""
    cohort = prepare(PhantomSource(PhantomSettings(patients=20, size=256)), default_cache())
    split = split_patients(cohort, SplitSettings(validation=0.4, test=0.2))
    begun = time.process_time()
    patches = Patches(cohort, PatchSettings(size=48, stride=16, input_size=side), *cohort.intensity(split.train))
    batches = BalancedBatches(patches, split.train)
    network = build(backbone, input_size=side)
    initialise(network, 0)
    learner = Distillation(
        network,
        noise_images(steps=1, images=3, side=side, channels=1, seed=0),
        initial_labels("one_hot", 3),
        inner_lr=0.02,
        settings=DistillSettings(inner_weights="head"),
        store=store,
        seed=0,
        device=CPU,
    )
    loop = OuterLoop(
        learner, PatientEvaluator(patches), batches, split, OuterSettings(steps=STEPS), rate=0.03, seed=0, device=CPU
    )
    while not loop.finished:
        loop.advance()
    loop.score(split.validation)
    loop.close()
    return time.process_time() - begun, loop.progress.losses


def figures() -> Iterator[Figure]:
    """CPU time of the first trial of a start and of the second, as shares of one that keeps nothing."""
    for backbone, side in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            stores = [None, FeatureStore(Path(folder), ROOM), FeatureStore(Path(folder), ROOM)]
            trial(backbone, side, None)  # of the three, none is to pay for what is loaded once
            (absent, losses), (first, *cold), (second, *warm) = (trial(backbone, side, store) for store in stores)
        if not cold == warm == [losses]:
            raise ArithmeticError(f"{backbone}: kept features give other losses")
        what = f"{backbone}, {side} px ({absent:.0f} s of CPU)"
        yield Figure(f"first trial with features kept / without, {what}", first / absent, 1.05)
        yield Figure(f"second trial of the same start / without, {what}", second / absent, 0.25)
