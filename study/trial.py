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
from sldd.cohort import Cohort, Split, open_cohort, prepare, split_patients
from sldd.compute import ComputeSettings
from sldd.data import DataSettings, open_source
from sldd.detect import PUBLISHED_DELTA, Votes, operate, threshold_curve
from sldd.distill import Distillation, DistillSettings
from sldd.errors import InputError
from sldd.footprint import footprint
from sldd.initialise import layer_fingerprints
from sldd.outer import DivergedError, OuterLoop, OuterSettings
from sldd.package import Package
from sldd.patches import BalancedBatches, Patches, PatchSettings
from sldd.start import check_start, set_start
from sldd.train import TrainSettings
from study.methods import make_learner, training_data
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


@lru_cache(maxsize=1)
def _materials(
    context_key: tuple[Path, str], data: DataSettings, cache: Path, settings: PatchSettings
) -> tuple[Patches, Split, BalancedBatches]:
    """Kept between the trials of a worker: the windows of a large cohort take seconds to find."""
    cohort = _cohort(context_key, data, cache)
    split = split_patients(cohort, data.split)
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
    key = (context.cohort_folder, context.fingerprint)
    patches, split, batches = _materials(key, context.data, context.cache, context.patches)

    network = build(config["backbone"], input_size=context.patches.input_size, norm=config["norm"])
    set_start(network, backbone=config["backbone"], start=config["start"], seed=config["seed"])
    start = layer_fingerprints(network)
    distill = replace(context.distill, **config["options"])
    outer = context.train.budget(context.outer, config["method"])
    track_statistics = outer.statistics == "exponential"
    scanned, drawn = training_data(config, patches, batches, split)
    learner = make_learner(
        network, config, distill, context.compute, batches, device, track_statistics=track_statistics
    )
    loop = OuterLoop(
        learner,
        scanned,
        drawn,
        split,
        outer,
        rate=config["outer_lr"],
        seed=config["seed"],
        device=device,
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

    result = _result(config, context, loop, split, error)
    result["starts"] = starts  # the step at which each start of this trial began; [0] where nothing interrupted it
    result["seconds"] = spent + time.monotonic() - begun
    result["peak_memory_mib"] = _peak_memory_mib(device)
    result["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    result["inner_graphs"] = learner.memory if isinstance(learner, Distillation) else None
    if isinstance(learner, Distillation) and loop.best is not None:
        package = _package(config, context, distill, loop, patches, start, result["delta"])
        result |= vars(footprint(parameter_count(network), package.images, package.theta_bn))
        result["rates"] = package.rates.tolist()
        if config["method"] != "random_real":  # whose images are patients' own, and nothing to be shared
            package.save(folder.package_path())
    folder.finish(result)
    tune.report({"step": loop.progress.step, "steps": outer.steps, "val_hm": _best_hm(loop)})


def _best_hm(loop: OuterLoop) -> float:
    return loop.best.key[0] if loop.best else 0.0


def _result(
    config: dict[str, Any], context: TrialContext, loop: OuterLoop, split: Split, error: str | None
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "status": "done" if error is None else "diverged",
        "error": error,
        "attempt": config["attempt"],
        "delta": None,
        "validation": None,
        "test": None,
        "outer_steps": loop.progress.step,
        "best_step": loop.best.step if loop.best else None,
        "memory_mib": None,
        "memory_star_kb": None,
        "compression_rate": None,
        "rates": None,
        "history": loop.progress.history,
    }
    if loop.best is None:
        return result
    validation = loop.score(split.validation)
    _, delta = threshold_curve(validation).best()
    result["delta"] = delta
    result["validation"] = scores(validation, delta, context.pseudonyms)
    if config["phase"] == "confirm" and error is None:
        # The only place where test patients are read: once, with everything chosen.
        result["test"] = scores(loop.score(split.test), delta, context.pseudonyms)
    return result


def scores(votes: Votes, delta: float, pseudonyms: list[str]) -> dict[str, Any]:
    """A group of patients at one threshold, with the whole curve and every patient's votes, as the ledger keeps it."""
    at = operate(votes, delta)
    return {
        "sensitivity": at.sensitivity,
        "specificity": at.specificity,
        "hm": at.hm,
        "hm_at_0.4": operate(votes, PUBLISHED_DELTA).hm,
        "auc": votes.auc,
        "patch_accuracy": votes.patch_accuracy,
        "undecided_patients": votes.undecided,
        "curve": vars(threshold_curve(votes)),
        "patients": [
            {"patient": pseudonyms[patient], "label": int(label), "votes": counts.tolist()}
            for patient, label, counts in zip(votes.patients, votes.labels, votes.counts, strict=True)
        ],
    }


def _package(
    config: dict[str, Any],
    context: TrialContext,
    distill: DistillSettings,
    loop: OuterLoop,
    patches: Patches,
    start: dict[str, str],
    delta: float,
) -> Package:
    assert loop.best is not None
    return Package(
        **loop.best.state,
        inner_weights=distill.inner_weights,
        momentum=distill.inner_momentum,
        inner_precision=context.compute.inner_precision,
        theta_bn=loop.best.theta_bn,
        backbone=config["backbone"],
        norm=config["norm"],
        start=Path(config["start"]).name,
        seed=config["seed"],
        start_fingerprints=start,
        mean=patches.mean,
        deviation=patches.deviation,
        patches=context.patches,
        delta=delta,
    )


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
