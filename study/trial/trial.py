"""One trial, from its configuration to its result in the ledger."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch

from ledger.trial_folder import PACKAGE, TrialFolder, now
from sldd.backbones.init import layer_fingerprints
from sldd.backbones.registry import parameter_count
from sldd.backbones.start import PRETRAINED, check_start, start_of
from sldd.data.split import Split
from sldd.distillation.distill import Distillation, DistillSettings
from sldd.distillation.footprint import footprint
from sldd.errors import InputError
from sldd.package import Package, Stored
from sldd.package.format.signature import read_private
from sldd.training.dp_sgd import PrivateGradient, check_accountant, refusal
from sldd.training.outer_loop import Best, DivergedError, Learner, OuterLoop, OuterSettings
from study.grid.protocol import fixed_delta
from study.trial.context import TrialContext, film_materials, materials, patient_pseudonyms, weights_file
from study.trial.early_stopping import is_below
from study.trial.learners import Batches, Seen, make_learner, training_data
from study.trial.network import WEIGHTS, build_network, mixed_bodies, set_transfer_start, to_bytes
from study.trial.package import claims, described, on_cpu, pack, store_images
from study.trial.result import describe_result

_STOP_POLL_SECONDS = 0.5


class Report(TypedDict):
    """How far a trial is."""

    step: int
    steps: int
    seconds: float
    """Of all its starts."""
    score: float
    """Of the best state, on validation patients: what ``study.grid.scores.main_score`` is of its result."""
    blind: NotRequired[str]
    """Why the trial cannot begin, while its machine does not see the study's folder."""


@dataclass
class _Trial:
    """What a trial works with, built from its configuration alone."""

    config: dict[str, Any]
    context: TrialContext
    network: torch.nn.Module
    start: str
    fingerprints: dict[str, str]
    distill: DistillSettings
    outer: OuterSettings
    learner: Learner
    loop: OuterLoop
    classes: tuple[str, ...]
    seen: Seen
    split: Split

    @property
    def stopped(self) -> bool:
        """True where it has done worse than its search's earlier trials, and need not go on."""
        return is_below(self.config.get("stop_below", ()), self.loop.progress.history)

    @property
    def ended(self) -> str:
        """Why a trial that is over took no more steps."""
        if self.stopped:
            return "median"
        return "patience" if self.loop.impatient else "steps"

    @property
    def over(self) -> bool:
        """True once no outer step is left to take."""
        return self.loop.finished or self.stopped


def build_trial(
    config: dict[str, Any],
    context: TrialContext,
    device: torch.device,
    given: tuple[Seen, Split, Batches] | None = None,
) -> _Trial:
    """A trial at its beginning; on other patients than its own where these are ``given``."""
    if context.package.key is not None:
        read_private(Path(context.package.key))  # found missing now rather than when all is done
    seen, split, batches = given or _materials(config, context)
    classes = tuple(batches.classes)
    side = context.patches.input_size
    network = build_network(
        config, backbone=config["backbone"], norm=config["norm"], input_size=side, classes=len(classes)
    )
    word = PRETRAINED if mixed_bodies(config) else config["start"]
    start = weights_file(context, start_of(config["backbone"], word, context.pretrained))
    set_transfer_start(network, config, start, len(classes))
    fingerprints = layer_fingerprints(network)
    distill = replace(context.distill, **config["options"])
    outer = context.train.budget(context.outer, config["method"], batches.size, config["epochs"])
    private = _private(network, config, context, distill, outer)
    delta = fixed_delta(context.protocol)
    data = training_data(config, seen, batches, split, context.privacy, context.augment, delta)
    tracks = outer.statistics == "exponential"
    learner = make_learner(
        network, config, distill, context.compute, batches, device, track_statistics=tracks, private=private
    )
    loop = OuterLoop(
        learner,
        data.task,
        data.drawn,
        split,
        outer,
        rate=config["outer_lr"],
        seed=config["seed"],
        device=device,
        last=private is not None,
        measured=data.measured,
    )
    return _Trial(
        config,
        context,
        network,
        start,
        fingerprints,
        distill,
        outer,
        learner,
        loop,
        tuple(batches.classes),
        seen,
        split,
    )


def _materials(config: dict[str, Any], context: TrialContext) -> tuple[Seen, Split, Batches]:
    if context.task == "multilabel":
        return film_materials(context, config["fold"], config.get("stage"))
    return materials(context, config["fold"])


def _private(
    network: torch.nn.Module,
    config: dict[str, Any],
    context: TrialContext,
    distill: DistillSettings,
    outer: OuterSettings,
) -> PrivateGradient | None:
    if context.privacy.noise is None:
        return None
    reason = refusal(network, config["method"], distill.image_init)
    if reason is not None:
        raise InputError(reason)
    check_accountant()
    return PrivateGradient(context.privacy, outer.batch_size)


def run_trial(config: dict[str, Any], context: TrialContext, folder: TrialFolder) -> Iterator[Report]:
    """Run or resume a trial, checkpoint as it goes, and write its result; without one where the study is stopping."""
    context.compute.apply(context.threads)
    if config["gpus"] and not torch.cuda.is_available():
        # Of a machine that joined later (``nodes.check_gpus``). The next try may be on another one.
        raise RuntimeError(
            f"PyTorch {torch.__version__} cannot use the GPU of {socket.gethostname()} that Ray has found"
        )
    device = torch.device("cuda" if config["gpus"] else "cpu")
    _reset_peak_memory(device)
    trial = build_trial(config, context, device)
    spent, starts = 0.0, []
    saved = folder.load_checkpoint(device)
    if saved is not None:
        check_start(trial.network, saved["start"], f"checkpoint of {config['trial']}")
        trial.loop.load_state_dict(saved["loop"])
        spent, starts = saved["seconds"], saved["starts"]
        del saved  # on a GPU, it would be there a second time to the end
    starts.append(trial.loop.progress.step)
    begun = time.monotonic()

    def checkpoint() -> Report:
        seconds = spent + time.monotonic() - begun
        state = {"loop": trial.loop.state_dict(), "start": trial.fingerprints, "seconds": seconds, "starts": starts}
        folder.save_checkpoint(trial.loop.progress.step, state)
        return _report(trial, seconds)

    try:
        yield from _improve(trial, folder, checkpoint)
        error = None
    except DivergedError as divergence:
        error = str(divergence)
    finally:
        trial.loop.close()
    if error is None and not trial.over:
        return

    best = trial.loop.best if isinstance(trial.learner, Distillation) else None
    stored = None if best is None else store_images(best, context.package)
    patients = patient_pseudonyms(context, config.get("stage"))
    result = describe_result(config, trial.loop, trial.split, error, fixed_delta(context.protocol), patients)
    result["stopped"] = trial.stopped
    result["ended"] = "diverged" if error else trial.ended
    result["starts"] = starts  # the step at which each start of this trial began; [0] where nothing interrupted it
    result["seconds"] = spent + time.monotonic() - begun
    result["finished"] = now()
    result["gpus"] = config["gpus"]
    result["peak_memory_mib"] = _peak_memory_mib(device)
    result["device_memory_mib"] = _device_memory_mib(device)
    result["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    result["micro_batch"] = context.compute.micro_batch
    result["inner_graphs"] = trial.learner.memory if isinstance(trial.learner, Distillation) else None
    if context.privacy.noise is not None:
        result["epsilon"] = context.privacy.epsilon(
            steps=trial.loop.progress.step, batch_size=trial.outer.batch_size, patients=len(trial.split.train)
        )
    if best is not None and stored is not None:
        result |= _share(trial, best, *stored, result, folder)
    if config.get("stage") and config["phase"] == "confirm" and trial.loop.best is not None:
        folder.save(WEIGHTS, to_bytes(list(trial.fingerprints), trial.loop.best.state))
    folder.finish(result)


def _improve(trial: _Trial, folder: TrialFolder, checkpoint: Callable[[], Report]) -> Iterator[Report]:
    """Take all outer steps that are left, or those until the study stops, with a report after every checkpoint."""
    polled = time.monotonic()
    while not trial.over:
        trial.loop.advance()
        if time.monotonic() - polled > _STOP_POLL_SECONDS:
            polled = time.monotonic()
            if folder.stopping():
                yield checkpoint()
                return
        if trial.loop.progress.step % trial.outer.checkpoint_every == 0 or trial.over:
            yield checkpoint()


def _report(trial: _Trial, seconds: float) -> Report:
    best = trial.loop.best
    return {
        "step": trial.loop.progress.step,
        "steps": trial.outer.steps,
        "seconds": seconds,
        "score": best.score if best else 0.0,
    }


def _share(
    trial: _Trial, best: Best, original: torch.Tensor, cost: Stored, result: dict[str, Any], folder: TrialFolder
) -> dict[str, Any]:
    """Write the package of a distillation; what its result says of it.

    Args:
        original, cost: the images before they were stored, and what that cost.
        result: what was measured of the best state, with the images as they are stored.
    """
    config, context = trial.config, trial.context
    state = on_cpu(best.state)
    package = Package(
        images=state["images"],
        labels=state["labels"],
        rates=state["rates"],
        inner_weights=trial.distill.inner_weights,
        momentum=trial.distill.inner_momentum,
        inner_precision=context.compute.inner_precision,
        theta_bn=on_cpu(best.theta_bn),
        backbone=config["backbone"],
        norm=config["norm"],
        start=Path(trial.start).name,
        seed=config["seed"],
        start_fingerprints=trial.fingerprints,
        mean=trial.seen.mean,
        deviation=trial.seen.deviation,
        depth=trial.seen.cohort.depth,
        patches=context.patches,
        delta=result["delta"],
        classes=trial.classes,
        claims=claims(result, context.protocol, config["fold"], cost),
        stored=cost,
    )
    said = dict(vars(footprint(parameter_count(trial.network), package.images, package.theta_bn)))
    said["rates"] = package.rates.tolist()
    if config["method"] != "random_real":  # whose images are patients' own, and nothing to be shared
        content, packed = pack(package, trial.start, original, context.package)
        folder.save(PACKAGE, content)
        cost = packed.stored
        said["shared_bytes"] = len(content)
        said["spread"] = packed.self_test.spread if packed.self_test else None  # how chaotic its inner steps are
    if cost.images != "float32":
        said["stored"] = described(cost, best, result)
    return said


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what an earlier trial of this process left
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: start the resident peak anew for a reused worker


def _device_memory_mib(device: torch.device) -> float | None:
    """All memory of a GPU."""
    return torch.cuda.mem_get_info(device)[1] / 2**20 if device.type == "cuda" else None


def _peak_memory_mib(device: torch.device) -> float | None:
    """Peak of the device's memory on a GPU, of the worker's resident memory otherwise (Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
