"""Three distilled images against training on all patches, on real films, with each patient tested once.

    python -m benchmarks.distillation.lungs  # the default and ordinary training, five folds
    python -m benchmarks.distillation.lungs --part validation --variants sldd head naive
    python -m benchmarks.distillation.lungs --variants train train_pretext sldd --seeds 0 1 2 --keep lungs
    python -m benchmarks.distillation.lungs --variants lite lite_pretext lite_imagenet --keep lungs  # three starts

138 films (NLM Montgomery County set) by --data, a cohort folder. Five patient-wise folds; the scores of all test
patients are pooled. The last state is scored: nothing is chosen on test patients. The variants are the ablation. Each
distilled run is packed, rebuilt in a fresh process, and must give every patch the same vote. The start of some variants
is made first: of the films below --films, public ones of other patients (NIH ChestX-ray14; sldd.training.pretext), or
of ImageNet weights (python -m sldd.backbones.imagenet). What --keep has already is not run again; what it has of other
variants, films or patients under the same names is refused.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.distillation.lungs_scores import pooled, pooled_auc
from benchmarks.distillation.lungs_variants import VARIANTS, Variant
from benchmarks.measure import one_thread
from benchmarks.runs_file import differences
from sldd.backbones.init import layer_fingerprints
from sldd.backbones.registry import build
from sldd.backbones.start import SEEDED, XAVIER, set_start
from sldd.data.cohort import default_cache, prepare
from sldd.data.patches import Patches, PatchSettings
from sldd.data.settings import DataSettings, open_source
from sldd.data.split import Split, SplitSettings, fold_patients
from sldd.distillation.distill import Distillation
from sldd.distillation.initial.labels import initial_labels
from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.metrics.patient_evaluator import PatientScores
from sldd.metrics.patient_votes import Votes, count_votes
from sldd.package import Package
from sldd.package.rebuild.rebuild import rebuild
from sldd.pipeline.task_data import PatchData
from sldd.training.compute import ComputeSettings
from sldd.training.learner import Learner
from sldd.training.outer_loop import Best, OuterLoop
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import Training

FOLDS = 5
TARGET = -0.03
CPU = torch.device("cpu")


def _fold(root: str, variant: Variant, fold: int) -> tuple[Patches, Split]:
    """Patches of all patients, and who of them trains, validates and tests in a fold."""
    cohort = prepare(open_source(DataSettings(source="folder", root=root)), default_cache())
    split = fold_patients(cohort, FOLDS, SplitSettings(validation=0.15))[fold]
    settings = PatchSettings(size=75, stride=12, score_stride=24, input_size=variant.input_size)
    return Patches(cohort, settings, *cohort.intensity(split.train)), split


def _learner(variant: Variant, network: nn.Module, drawn: PatchData, seed: int) -> Learner:
    if variant.method == "train":
        return Training(network, device=CPU)
    labels = initial_labels("one_hot", 3)
    return Distillation(
        network,
        drawn.initial_images(variant.distill.image_init, labels, 1, seed),
        labels,
        epochs=variant.epochs,
        inner_lr=variant.inner_lr,
        settings=variant.distill,
        compute=ComputeSettings(memory="keep"),
        seed=seed,
        device=CPU,
    )


def _package(variant: Variant, best: Best, patches: Patches, start: str, seed: int, prints: dict[str, str]) -> Package:
    return Package(
        images=best.state["images"],
        labels=best.state["labels"],
        rates=best.state["rates"],
        theta_bn=best.theta_bn,
        inner_weights=variant.distill.inner_weights,
        momentum=variant.distill.inner_momentum,
        inner_precision="float32",
        backbone=variant.backbone,
        norm="as_is",
        start=Path(start).name,
        seed=seed,
        start_fingerprints=prints,
        mean=patches.mean,
        deviation=patches.std,
        depth=patches.cohort.depth,
        patches=patches.settings,
        delta=0.5,
    )


def run_fold(root: str, name: str, seed: int, fold: int, folder: str, part: str) -> dict[str, Any]:
    """Train or distil on one fold; votes of its ``part``. A distilled run leaves its package in ``folder``.

    Args:
        root: the cohort folder.
        name: of ``VARIANTS``.
        folder: with the files of starts.
        part: ``test`` or ``validation``.
    """
    one_thread()
    variant = VARIANTS[name]
    patches, split = _fold(root, variant, fold)
    drawn = PatchData(patches, split)
    network = build(variant.backbone, input_size=variant.input_size)
    start = variant.start_in(folder)
    set_start(network, backbone=variant.backbone, start=start, seed=seed)
    prints = layer_fingerprints(network)
    outer = OuterSettings(
        steps=variant.steps,
        batch_size=variant.batch_size,
        evaluations=1,
        statistics_batches=variant.statistics_batches,
        score_batch=32,  # fits into the processor's cache
    )
    learner = _learner(variant, network, drawn, seed)
    loop = OuterLoop(
        learner, drawn.evaluator(), drawn.batches, split, outer, rate=variant.outer_lr, seed=seed, device=CPU
    )
    begun = time.perf_counter()
    while not loop.finished:
        loop.advance()
    seconds = time.perf_counter() - begun
    scores = loop.score(getattr(split, part))
    assert isinstance(scores, PatientScores)
    votes = scores.votes
    assert loop.best is not None
    if variant.method != "train":
        package = _package(variant, loop.best, patches, start, seed, prints)
        package.save(Path(folder) / f"{name}-{seed}-{fold}.safetensors")
    return {
        "variant": name,
        "seed": seed,
        "fold": fold,
        "loss": float(np.mean(loop.progress.losses[-100:])),
        "seconds": seconds,
        "patients": votes.patients,
        "labels": votes.labels.tolist(),
        "counts": votes.counts.tolist(),
        "confusion": votes.confusion.tolist(),
    }


def rebuilt_counts(root: str, name: str, seed: int, fold: int, folder: str, part: str) -> list[list[int]]:
    """Votes of the same patients by the network that a fold's package rebuilds."""
    one_thread()
    variant = VARIANTS[name]
    patches, split = _fold(root, variant, fold)
    start = None if variant.start in SEEDED else Path(variant.start_in(folder))
    network = rebuild(Package.load(Path(folder) / f"{name}-{seed}-{fold}.safetensors"), start)
    votes = count_votes(network, patches, getattr(split, part), batch=32, device=CPU)
    counts: list[list[int]] = votes.counts.tolist()
    return counts


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.distillation.lungs``; 1 where SLDD lies more than 0.03 below ordinary training."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distillation.lungs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", default="../shared/data/lungs", metavar="DIR")
    parser.add_argument("--films", type=Path, default="../shared/data/chest/nih512", metavar="DIR")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=["train", "sldd"])
    parser.add_argument(
        "--part", choices=["test", "validation"], default="test", help="score validation patients to choose a variant"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of heads, images and batches")
    parser.add_argument("--workers", type=int, default=2, help="folds at once, each on one thread")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for starts, packages and all votes")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            runs = _completed(options.keep or Path(scratch), options)
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
    votes: dict[str, list[Votes]] = {}
    for first in range(0, len(runs), FOLDS):
        votes.setdefault(runs[first]["variant"], []).append(pooled(runs[first : first + FOLDS]))
    reached = all(run["rebuilt"] for run in runs)
    print(f"packages rebuilt in another process give {'the same' if reached else 'OTHER'} votes")
    for name in votes:
        middle, low, high = pooled_auc(votes[name])
        print(f"{name}: pooled AUC {middle:.3f} (95 % {low:.3f} to {high:.3f})")
        for other in votes:
            if is_compared(name, other):
                middle, low, high = pooled_auc(votes[name], votes[other])
                missed = name == "sldd" and other == "train" and middle < TARGET
                print(f"{name} - {other}: {middle:+.3f} (95 % {low:+.3f} to {high:+.3f}){', target missed' * missed}")
                reached &= not missed
    return 0 if reached else 1


def is_compared(name: str, other: str) -> bool:
    """Whether the difference of a variant to another one is told. It is

    - to the variant ``train``, of all others;
    - to those from Xavier's start, of those from another start;
    - to ordinary training of the same network from the same start, of what is distilled.
    """
    one, another = VARIANTS[name], VARIANTS[other]
    to_training = name != "train" and other == "train"
    to_xavier = one.start != XAVIER and another.start == XAVIER
    return to_training or to_xavier or one.compares_fairly(another)


def _completed(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs, once those that the folder lacked are there; each variant and seed is reported when its folds are."""
    folder.mkdir(parents=True, exist_ok=True)
    cohort = prepare(open_source(DataSettings(source="folder", root=options.data)), default_cache())
    one_thread()
    definitions = {}
    for name in options.variants:
        VARIANTS[name].make_start(folder, options.films)
        definitions[name] = VARIANTS[name].definition(folder) | {"cohort": cohort.fingerprint}
    runs: list[dict[str, Any]] = []
    for run in _runs(definitions, folder, options):
        runs.append(run)
        if len(runs) % FOLDS == 0:
            _report(runs[-FOLDS:])
    return runs


def kept(path: Path, definition: dict[str, Any]) -> dict[str, Any] | None:
    """The run that an earlier command left; None where there is none.

    Raises:
        InputError: it is of another variant, start or cohort.
    """
    if not path.exists():
        return None
    run: dict[str, Any] = json.loads(path.read_text())
    # One without a definition is of before they were kept, and counts as of today's.
    if found := [*differences(run.get("definition", definition), definition)]:
        raise InputError(f"{path} is of another variant or cohort ({', '.join(found[:3])}); choose another --keep")
    return run


def _runs(
    definitions: dict[str, dict[str, Any]], folder: Path, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Results by variant, seed and fold: those that the folder has, and the others, kept in it as they come."""
    spawn, data, part = multiprocessing.get_context("spawn"), options.data, options.part
    jobs = [(name, seed, fold) for name in options.variants for seed in options.seeds for fold in range(FOLDS)]
    paths = {(name, seed, fold): folder / f"{name}-{seed}-{fold}-{part}.json" for name, seed, fold in jobs}
    known = {job: kept(path, definitions[job[0]]) for job, path in paths.items()}
    with ProcessPoolExecutor(options.workers, spawn) as pool, ProcessPoolExecutor(1, spawn) as fresh:
        running = {
            job: pool.submit(run_fold, data, *job, str(folder), part) for job, run in known.items() if run is None
        }
        for job in jobs:
            run = known[job]
            if run is None:
                run = running[job].result()
                trained = VARIANTS[job[0]].method == "train"
                again = [] if trained else fresh.submit(rebuilt_counts, data, *job, str(folder), part).result()
                run |= {"rebuilt": trained or again == run["counts"], "definition": definitions[job[0]]}
                write_file(paths[job], json.dumps(run).encode(), option="--keep")
            yield run


def _report(runs: list[dict[str, Any]]) -> None:
    """Print a variant's figures, of one seed and all folds."""
    votes = pooled(runs)
    folds = " ".join(f"{pooled([run]).auc:.2f}" for run in runs)
    print(
        f"{runs[0]['variant']:<13} seed {runs[0]['seed']}: pooled AUC {votes.auc:.3f}, folds {folds}; "
        f"balanced patch accuracy {votes.patch_accuracy:.3f}; loss {np.mean([run['loss'] for run in runs]):.3f}; "
        f"{np.mean([run['seconds'] for run in runs]):.0f} s a fold",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
