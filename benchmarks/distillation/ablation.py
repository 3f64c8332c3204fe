"""Ablation of the outer optimiser: networks x variants x seeds, on phantom patients.

    python -m benchmarks.distillation.ablation --list  # the variants
    python -m benchmarks.distillation.ablation --out runs.jsonl  # six networks; hours
    python -m benchmarks.distillation.ablation --networks test_resnet paper/alexnet/8:none --steps 300

A network is a name of sldd.backbones and perhaps a norm after a colon. All variants of a seed see the same patients,
start, images and batches. Patches are 48 of 256 pixels, shown at --side. States and thresholds are chosen on validation
patients; test patients are scored once. A run that --out has already is not run again, so that a command that was
interrupted goes on; one of a variant that meant something else then is refused.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.measure import one_thread
from benchmarks.runs_file import RunsFile
from sldd.backbones.registry import build
from sldd.backbones.start import NEAR_LINEAR, XAVIER, set_start
from sldd.data.cohort import default_cache, prepare
from sldd.data.patches import Patches, PatchSettings
from sldd.data.settings import DataSettings, open_source
from sldd.data.split import Split, SplitSettings, split_patients
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import DistillSettings
from sldd.distillation.initial.labels import initial_labels
from sldd.errors import InputError
from sldd.metrics.patient_evaluator import PatientScores
from sldd.metrics.patient_votes import choose_threshold, operate
from sldd.pipeline.task_data import PatchData
from sldd.sources.phantom import PhantomSettings
from sldd.training.learner import Learner
from sldd.training.outer_loop import DivergedError, OuterLoop
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import Training

NETWORKS = (
    "paper/googlenet/8:batch",
    "paper/resnet18/8:batch",
    "paper/resnet18/8:none",
    "paper/alexnet/8:batch",
    "paper/alexnet/8:none",
    "paper/vgg16/8:none",
)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Variant:
    """A configuration of distillation, or ordinary training."""

    distill: DistillSettings | None = field(default_factory=DistillSettings)
    """None: ordinary training."""
    outer_lr: float = 0.03
    inner_lr: float = 0.02
    schedule: str = "cosine"
    batch_size: int = 48
    start: str = XAVIER


FORMER = DistillSettings(rates="step", rate_unit="absolute", rate_lr=1.0, clip=None, average=0.0)
VARIANTS = {
    "defaults": Variant(),
    "near_linear": Variant(start=NEAR_LINEAR),
    "train": Variant(None, outer_lr=0.002),
    "train_near_linear": Variant(None, outer_lr=0.002, start=NEAR_LINEAR),
    "former": Variant(FORMER, outer_lr=0.1, inner_lr=0.1, batch_size=24),
    "one_rate": Variant(DistillSettings(rates="step")),
    "absolute": Variant(DistillSettings(rate_unit="absolute"), inner_lr=0.1),
    "slow_rates": Variant(DistillSettings(rate_lr=1.0)),
    "fast_labels": Variant(DistillSettings(label_lr=3.0)),
    "no_clip": Variant(DistillSettings(clip=None)),
    "no_average": Variant(DistillSettings(average=0.0)),
    "constant": Variant(schedule="constant"),
    "small_share": Variant(inner_lr=0.005),
    "large_share": Variant(inner_lr=0.08),
    "slow_images": Variant(outer_lr=0.01),
    "fast_images": Variant(outer_lr=0.1),
    "small_batch": Variant(batch_size=24),
    "real_start": Variant(DistillSettings(image_init="real")),
    "softmax": Variant(DistillSettings(labels="softmax")),
}


@dataclass(frozen=True)
class Job:
    """One run: network, variant and seed."""

    network: str
    variant: str
    seed: int
    images: int
    steps: int
    side: int
    patients: int
    difficulty: float


def run(job: Job) -> dict[str, Any]:
    """Train or distil, and score the best state; returns the job and its scores."""
    one_thread()
    variant = VARIANTS[job.variant]
    drawn, split = _patients(job)
    backbone, _, norm = job.network.partition(":")
    network = build(backbone, norm=norm or "as_is", input_size=job.side)
    set_start(network, backbone=backbone, start=variant.start, seed=job.seed)
    outer = OuterSettings(steps=job.steps, batch_size=variant.batch_size, evaluations=5)
    outer = replace(outer, schedule=variant.schedule)  # type: ignore[arg-type]  # one of its two
    loop = OuterLoop(
        _learner(job, variant, network, drawn),
        drawn.evaluator(),
        drawn.batches,
        split,
        outer,
        rate=variant.outer_lr,
        seed=job.seed,
        device=CPU,
    )
    begun = time.process_time()
    diverged = None
    try:
        while not loop.finished:
            loop.advance()
    except DivergedError as error:
        diverged = str(error)
    finally:
        loop.close()
    seconds = time.process_time() - begun
    losses = loop.progress.losses
    loss = statistics.fmean(losses[-max(1, len(losses) // 10) :]) if losses else None  # of the last tenth
    return vars(job) | {"seconds": round(seconds, 1), "diverged": diverged, "loss": loss} | _scores(loop, split)


def _patients(job: Job) -> tuple[PatchData, Split]:
    """Patches of the job's phantom patients, and who of them trains, validates and tests."""
    data = DataSettings(
        phantom=PhantomSettings(patients=job.patients, difficulty=job.difficulty),
        split=SplitSettings(validation=0.25, test=0.5),
    )
    cohort = prepare(open_source(data), default_cache())
    split = split_patients(cohort, data.split)
    settings = PatchSettings(size=48, stride=8, score_stride=40, input_size=job.side)
    return PatchData(Patches(cohort, settings, *cohort.intensity(split.train)), split), split


def _learner(job: Job, variant: Variant, network: nn.Module, drawn: PatchData) -> Learner:
    if variant.distill is None:
        return Training(network, device=CPU)
    labels = initial_labels("one_hot", job.images)
    return Distillation(
        network,
        drawn.initial_images(variant.distill.image_init, labels, 1, job.seed),
        labels,
        inner_lr=variant.inner_lr,
        settings=variant.distill,
        seed=job.seed,
        device=CPU,
    )


def _scores(loop: OuterLoop, split: Split) -> dict[str, Any]:
    """Scores of the best state on test patients, at the threshold that validation patients choose; zeros where the run
    diverged before there was one."""
    if loop.best is None:
        return {"hm": 0.0, "auc": 0.0, "patch_accuracy": 0.0}
    validation, test = loop.score(split.validation), loop.score(split.test)
    assert isinstance(validation, PatientScores)
    assert isinstance(test, PatientScores)
    val_hm, delta = choose_threshold(validation.votes)
    votes = test.votes
    found: dict[str, Any] = {"val_hm": val_hm, "hm": operate(votes, delta).hm, "auc": votes.auc}
    return found | {"patch_accuracy": votes.patch_accuracy, "step": loop.best.step}


def table(runs: Iterable[dict[str, Any]]) -> str:
    """Markdown: a row a variant, a column a network and one for all: mean HM and patch accuracy on test patients, and
    the runs that these are of, with their mean seconds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for each in runs:
        groups[each["variant"], each["network"]].append(each)
        groups[each["variant"], "all"].append(each)
    names = [*dict.fromkeys(name for _, name in groups if name != "all"), "all"]
    lines = ["| variant | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for variant in dict.fromkeys(variant for variant, _ in groups):
        cells = []
        for name in names:
            group = groups.get((variant, name))
            if not group:
                cells.append("not measured")
                continue
            hm, accuracy = (statistics.fmean(each[key] or 0.0 for each in group) for key in ("hm", "patch_accuracy"))
            seconds = statistics.fmean(each["seconds"] for each in group)
            cells.append(f"{hm:.2f} / {accuracy:.2f} ({len(group)} x {seconds:.0f} s)")
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.distillation.ablation``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distillation.ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="NAME[:NORM]")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=["train", "former", "defaults"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--side", type=int, default=96, help="of a patch as networks see it, in pixels (%(default)s)")
    parser.add_argument("--patients", type=int, default=400, help="a quarter trains, a quarter validates, half tests")
    parser.add_argument("--difficulty", type=float, default=0.5)
    parser.add_argument("--workers", type=int, default=2, help="runs at once, each on one thread")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="keep runs there, and go on with those it has")
    parser.add_argument("--list", action="store_true", help="print the variants and stop")
    options = parser.parse_args(arguments)
    if options.list:
        for name, variant in VARIANTS.items():
            print(f"{name:<12} {variant}")
        return 0
    common = options.images, options.steps, options.side, options.patients, options.difficulty
    jobs = [
        vars(Job(network, variant, seed, *common))
        for seed in options.seeds
        for network in options.networks
        for variant in options.variants
    ]
    try:
        runs = RunsFile(options.out, defined=("variant", lambda variant: asdict(VARIANTS[variant])))
        missing = runs.missing(jobs)
        phantom = PhantomSettings(patients=options.patients, difficulty=options.difficulty)
        prepare(open_source(DataSettings(phantom=phantom)), default_cache())
        for network in options.networks:
            build(network.partition(":")[0], input_size=options.side)
        with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
            for future in as_completed([pool.submit(run, Job(**job)) for job in missing]):
                found = future.result()
                runs.append([found])
                print(json.dumps(found), file=sys.stderr, flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(each for each in runs.rows if any(job.items() <= each.items() for job in jobs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
