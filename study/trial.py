"""What runs on a worker: one trial, from its configuration to its result in the ledger."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from ray import tune

from sldd.backbones import build, parameter_count
from sldd.cohort import Cohort, open_cohort, prepare
from sldd.compute import ComputeSettings
from sldd.data import DataSettings, open_source
from sldd.distill import Distillation, DistillSettings
from sldd.errors import InputError
from sldd.footprint import footprint
from sldd.initialise import layer_fingerprints
from sldd.outer import DivergedError, OuterLoop, OuterSettings
from sldd.package import Package
from sldd.patches import BalancedBatches, Patches, PatchSettings
from sldd.split import Split
from sldd.start import check_start, set_start, start_of
from sldd.train import TrainSettings
from study.methods import make_learner, training_data
from study.protocol import Protocol, divide, fixed_delta
from study.result import describe_result
from study.trial_folder import ReplacedError, TrialFolder

_STOP_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a study share."""

    data: DataSettings
    cache: Path
    cohort_folder: Path
    fingerprint: str
    patches: PatchSettings
    distill: DistillSettings
    outer: OuterSettings
    train: TrainSettings
    compute: ComputeSettings
    protocol: Protocol
    folds: int | None
    pretrained: dict[str, str]
    pseudonyms: list[str]
    threads: int
    gpus: float
    stop_path: Path


@lru_cache(maxsize=1)
def _cohort(context_key: tuple[Path, str], data: DataSettings, cache: Path) -> Cohort:
    folder, expected = context_key
    # The driver decoded the cohort on its own machine; every other node does so once, for itself.
    cohort = open_cohort(folder) if folder.is_dir() else prepare(open_source(data), cache)
    if cohort.fingerprint != expected:
        raise InputError("data: the cohort on this node differs from the one that the study began with")
    return cohort


@lru_cache(maxsize=2)  # the folds of a cell take turns, two at a time where a machine runs two trials
def _materials(
    context_key: tuple[Path, str],
    data: DataSettings,
    cache: Path,
    settings: PatchSettings,
    protocol: Protocol,
    folds: int | None,
    fold: int | None,
) -> tuple[Patches, Split, BalancedBatches]:
    """Kept between the trials of a worker: the windows of a large cohort take seconds to find."""
    cohort = _cohort(context_key, data, cache)
    split = divide(cohort, data.split, protocol, folds, fold)
    patches = Patches(cohort, settings, *cohort.intensity(split.train))
    return patches, split, BalancedBatches(patches, split.train)


def run_trial(config: dict[str, Any], context: TrialContext) -> None:
    """Ray Tune's trainable: run or resume a trial, checkpoint as it goes, write its result.

    Reports ``step``, ``steps`` and ``val_hm`` as it goes. Returns without a result when the study is stopping, and
    when another worker has taken the trial over.
    """
    try:
        folder = TrialFolder(Path(config["folder"]), config["owner"])
    except ReplacedError:
        return
    if folder.finished:
        return  # Ray started this worker again after it had written its result
    try:
        _run(config, context, folder)
    except ReplacedError:
        return
    except Exception as error:
        folder.note_error(_described(error))
        raise


def _described(error: Exception) -> str:
    """An error's kind and message; of the operating system's, not the file it names: files are named after patients."""
    return f"{type(error).__name__}: {error.strerror if isinstance(error, OSError) else error}"


def _run(config: dict[str, Any], context: TrialContext, folder: TrialFolder) -> None:
    context.compute.apply(context.threads)
    device = torch.device("cuda" if context.gpus and torch.cuda.is_available() else "cpu")
    _reset_peak_memory(device)
    patches, split, batches = _materials(
        (context.cohort_folder, context.fingerprint),
        context.data,
        context.cache,
        context.patches,
        context.protocol,
        context.folds,
        config["fold"],
    )
    network = build(config["backbone"], input_size=context.patches.input_size, norm=config["norm"])
    start_name = start_of(config["backbone"], config["start"], context.pretrained)
    set_start(network, backbone=config["backbone"], start=start_name, seed=config["seed"])
    start = layer_fingerprints(network)
    distill = replace(context.distill, **config["options"])
    outer = context.outer.over(sum(batches.counts.values()), config["epochs"])
    outer = context.train.budget(outer, config["method"])
    scanned, drawn = training_data(config, patches, batches, split)
    learner = make_learner(
        network,
        config,
        distill,
        context.compute,
        batches,
        device,
        track_statistics=outer.statistics == "exponential",
    )
    delta = fixed_delta(context.protocol)
    loop = OuterLoop(
        learner,
        scanned,
        drawn,
        split,
        outer,
        rate=config["outer_lr"],
        seed=config["seed"],
        device=device,
        delta=delta,
    )
    spent, starts = 0.0, []
    saved = folder.load_checkpoint(device)
    if saved is not None:
        check_start(network, saved["start"], f"checkpoint of {config['trial']}")
        loop.load_state_dict(saved["loop"])
        spent, starts = saved["seconds"], saved["starts"]
    starts.append(loop.progress.step)
    begun = time.monotonic()

    def checkpoint() -> None:
        seconds = spent + time.monotonic() - begun
        folder.save_checkpoint({"loop": loop.state_dict(), "start": start, "seconds": seconds, "starts": starts})

    error: str | None = None
    polled = time.monotonic()
    try:
        while not loop.finished:
            loop.advance()
            if time.monotonic() - polled > _STOP_POLL_SECONDS:
                polled = time.monotonic()
                if context.stop_path.exists():
                    checkpoint()
                    return
            if loop.progress.step % outer.checkpoint_every == 0 or loop.finished:
                checkpoint()
                tune.report({"step": loop.progress.step, "steps": outer.steps, "val_hm": _best_hm(loop)})
    except DivergedError as divergence:
        error = str(divergence)
    finally:
        loop.close()

    result = describe_result(config, loop, split, error, delta, context.pseudonyms)
    result["starts"] = starts  # the step at which each start of this trial began; [0] where nothing interrupted it
    result["seconds"] = spent + time.monotonic() - begun
    result["peak_memory_mib"] = _peak_memory_mib(device)
    result["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    result["inner_graphs"] = learner.memory if isinstance(learner, Distillation) else None
    if isinstance(learner, Distillation) and loop.best is not None:
        package = Package(
            **loop.best.state,
            inner_weights=distill.inner_weights,
            momentum=distill.inner_momentum,
            inner_precision=context.compute.inner_precision,
            theta_bn=loop.best.theta_bn,
            backbone=config["backbone"],
            norm=config["norm"],
            start=Path(start_name).name,
            seed=config["seed"],
            start_fingerprints=start,
            mean=patches.mean,
            deviation=patches.deviation,
            patches=context.patches,
            delta=result["delta"],
        )
        result |= vars(footprint(parameter_count(network), package.images, package.theta_bn))
        result["rates"] = package.rates.tolist()
        if config["method"] != "random_real":  # whose images are patients' own, and nothing to be shared
            path = folder.package_path()
            package.save(path)
            result["shared_bytes"] = path.stat().st_size
    folder.finish(result)
    tune.report({"step": loop.progress.step, "steps": outer.steps, "val_hm": _best_hm(loop)})


def _best_hm(loop: OuterLoop) -> float:
    return loop.best.key[0] if loop.best else 0.0


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: start the resident peak anew for a reused worker


def _peak_memory_mib(device: torch.device) -> float | None:
    """Peak of the device's memory on a GPU, of the worker's resident memory otherwise (Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
