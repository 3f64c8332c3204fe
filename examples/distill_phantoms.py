"""Distil phantom patients to three images, share them as a package, and score test patients with what is rebuilt.

    python examples/distill_phantoms.py [FOLDER]

Takes a minute on one core. Phantoms are drawn on the spot; for radiographs of your own, put a source of
``sldd.sources`` in the place of ``PhantomSource``. Many distillations, searched and compared, are ``study.run``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from sldd import Distillation, DistillSettings, OuterLoop, OuterSettings, Package
from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.registry import build
from sldd.data.cohort import prepare
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.split import SplitSettings, split_patients
from sldd.distillation.initial_images import initial_images
from sldd.distillation.initial_labels import initial_labels
from sldd.metrics.patient_evaluator import PatientEvaluator
from sldd.metrics.patient_votes import choose_threshold, count_votes, operate
from sldd.package.rebuild.rebuild import rebuild
from sldd.sources.phantom import PhantomSettings, PhantomSource

BACKBONE, SIDE, SEED, IMAGES = "convnet_w32", 32, 0, 3
CPU = torch.device("cpu")


def main(folder: Path, steps: int = 300) -> float:
    """HM, the harmonic mean of sensitivity and specificity, on test patients after so many outer steps."""
    torch.set_num_threads(1)

    # Patients: decoded once, divided, and cut into patches of three classes: irrelevant, negative, positive.
    cohort = prepare(PhantomSource(PhantomSettings(patients=40, size=128, difficulty=0.0)), folder / "cache")
    split = split_patients(cohort, SplitSettings(validation=0.2, test=0.4))
    cut = PatchSettings(size=24, stride=8, score_stride=20, input_size=SIDE)
    patches = Patches(cohort, cut, *cohort.intensity(split.train))
    batches = BalancedBatches(patches, split.train)

    # A distillation: images, soft labels and inner rates, for one network with a known start.
    network = build(BACKBONE, input_size=SIDE)
    initialise(network, SEED)
    settings = DistillSettings()
    distillation = Distillation(
        network,
        initial_images(settings.image_init, steps=1, images=IMAGES, seed=SEED, batches=batches),
        initial_labels("one_hot", IMAGES),
        inner_lr=0.02,
        settings=settings,
        seed=SEED,
        device=CPU,
    )
    budget = OuterSettings(steps=steps, batch_size=48, evaluations=5, statistics_batches=4)
    evaluator = PatientEvaluator(patches)
    loop = OuterLoop(distillation, evaluator, batches, split, budget, rate=0.03, seed=SEED, device=CPU)
    while not loop.finished:
        loss = loop.advance()
        if loop.progress.step % 50 == 0:
            print(f"step {loop.progress.step:3} of {steps}: loss {loss:.3f}")
    best = loop.best
    assert best is not None
    print(f"best state: step {best.step}, HM {best.score:.3f} on validation patients")

    # A package: all that another hospital needs. The threshold is chosen on validation patients.
    _, delta = choose_threshold(loop.score(split.validation).votes)
    package = Package(
        **best.state,
        theta_bn=best.theta_bn,
        inner_weights=settings.inner_weights,
        momentum=settings.inner_momentum,
        inner_precision="float32",
        backbone=BACKBONE,
        norm="as_is",
        start="xavier",
        seed=SEED,
        start_fingerprints=layer_fingerprints(network),
        mean=patches.mean,
        deviation=patches.std,
        patches=cut,
        delta=delta,
    )
    path = folder / "package.safetensors"
    package.save(path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")

    # The other hospital: rebuild the network from the file, and let the patches of each test patient vote.
    received = Package.load(path)
    votes = count_votes(rebuild(received), patches, split.test, batch=256, device=CPU)
    found = operate(votes, delta)
    print(f"{len(split.test)} test patients: HM {found.hm:.3f}")
    return found.hm


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("results/distill_phantoms"), help="for what it writes"
    )
    main(parser.parse_args().folder)
