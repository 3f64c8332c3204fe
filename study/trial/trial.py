"""Runs one trial: build it, take its outer steps, write checkpoints, result and package."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch

from ledger.storage import Folder
from ledger.trial_folder import PACKAGE, TrialFolder, now
from sldd.backbones.init import layer_fingerprints
from sldd.backbones.registry import parameter_count
from sldd.backbones.start import PRETRAINED, check_start, start_of
from sldd.distillation.footprint import footprint
from sldd.errors import InputError
from sldd.package import Stored
from sldd.package.format.signature import read_private
from sldd.pipeline.packing import Start, claims, complete, package_of, store_images, to_file
from sldd.training.dp_sgd import PrivateGradient, check_accountant
from sldd.training.learner import Learner
from sldd.training.outer_loop import Best, DivergedError, OuterLoop
from sldd.training.outer_settings import OuterSettings
from study.config.methods import METHODS, private_refusal
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.config.tasks.base import TaskData
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext, patient_pseudonyms, trial_data, weights_file
from study.trial.early_stopping import is_below
from study.trial.fresh import fresh_scores
from study.trial.network import WEIGHTS, build_network, mixed_bodies, set_transfer_start, to_bytes
from study.trial.result import describe_result, score_fresh

_STOP_POLL_SECONDS = 0.5


class Report(TypedDict):
    """Progress report of a trial."""

    step: int
    steps: int
    seconds: float
    """Of all its starts."""
    score: float
    """Of the best state, on validation patients: what ``study.config.tasks.base.Task.main_score`` is of its result."""
    history: NotRequired[list[dict[str, Any]]]
    """Evaluations since the last report; all of them in the first one of a start."""
    waiting: NotRequired[str]
    """Why the trial cannot begin, while its machine does not see the study's folder."""


@dataclass
class _Trial:
    """State of a running trial, built from its configuration alone."""

    spec: TrialSpec
    context: TrialContext
    network: torch.nn.Module
    start: str
    """What its weights started from, as ``set_start`` takes it."""
    fingerprints: dict[str, str]
    """Of that start, by layer."""
    learner: Learner
    loop: OuterLoop
    data: TaskData

    @property
    def stopped(self) -> bool:
        """True where it has done worse than its search's earlier trials, and need not go on."""
        reached = partial(TASKS[self.spec.task].compared, score=self.spec.score, prefix="val_")
        return is_below(self.spec.stop_below, self.loop.progress.history, reached)

    @property
    def waits(self) -> bool:
        """True where it is at its rung, from which it may be taken up again."""
        return self.loop.progress.step == self.spec.until and not self.stopped and not self.loop.impatient

    @property
    def ended(self) -> str:
        """Why a trial that is over took no more steps."""
        if self.stopped:
            return self.context.config.search.pruner
        if self.waits:
            return "rung"
        return "patience" if self.loop.impatient else "steps"

    @property
    def over(self) -> bool:
        """True once no outer step is left to take, for now at least."""
        return self.loop.finished or self.stopped or self.waits


def build_trial(
    spec: TrialSpec, context: TrialContext, device: torch.device, trials: Folder, data: TaskData | None = None
) -> _Trial:
    """A trial at its beginning; on other patients than its own where ``data`` is theirs.

    Args:
        trials: the folder of all trials of the study, whose networks it may start from.
    """
    config, cell = context.config, spec.cell
    if config.package.key is not None:
        read_private(Path(config.package.key))  # found missing now rather than when all is done
    data = data or trial_data(context, cell.fold, cell.stage)
    network, classes = build_network(cell, data.input), len(data.input.classes)
    word = PRETRAINED if mixed_bodies(cell) else cell.start
    start = weights_file(context, start_of(cell.backbone, word, config.pretrained))
    set_transfer_start(network, spec, start, classes, trials)
    fingerprints = layer_fingerprints(network)
    method = METHODS[cell.method]
    outer = method.outer_settings(config, data.size, cell.epochs)
    private = _private(network, spec, config, outer)
    learned = data.learned(spec, config, augment=method.augments(config.augment))
    learner = method.learner(spec, network, data, config, device, private)
    loop = OuterLoop(
        learner,
        learned.evaluator,
        learned.drawn,
        data.split,
        outer,
        rate=spec.outer_lr,
        seed=spec.seed,
        device=device,
        last=private is not None,
        measured=learned.measured,
    )
    return _Trial(spec, context, network, start, fingerprints, learner, loop, data)


def _private(
    network: torch.nn.Module, spec: TrialSpec, config: StudyConfig, outer: OuterSettings
) -> PrivateGradient | None:
    if config.privacy.noise is None:
        return None
    reason = private_refusal(spec.cell.method, network, spec.distill(config.distill).image_init)
    if reason is not None:
        raise InputError(reason)
    check_accountant()
    return PrivateGradient(config.privacy, outer.batch_size)


def run_trial(spec: TrialSpec, context: TrialContext, folder: TrialFolder, gpus: float = 0.0) -> Iterator[Report]:
    """Run or resume a trial, checkpoint as it goes, and write its result; without one where the study is stopping."""
    config = context.config
    config.compute.apply(config.resources.threads)
    if gpus and not torch.cuda.is_available():
        # Of a machine that joined later (``nodes.check_gpus``). The next try may be on another one.
        raise RuntimeError(
            f"PyTorch {torch.__version__} cannot use the GPU of {socket.gethostname()} that Ray has found"
        )
    device = torch.device("cuda" if gpus else "cpu")
    _reset_peak_memory(device)
    trial = build_trial(spec, context, device, folder.trials)
    spent, worked, starts = 0.0, 0.0, []
    saved = folder.load_checkpoint(device)
    if saved is not None:
        check_start(trial.network, saved["start"], f"checkpoint of {folder.name}")
        trial.loop.load_state_dict(saved["loop"])
        spent, starts = saved["seconds"], saved["starts"]
        worked = saved.get("core_seconds", 0.0)  # of checkpoints from before it was counted
        del saved  # on a GPU, it would be there a second time to the end
    starts.append(trial.loop.progress.step)
    begun, from_core = time.monotonic(), time.process_time()
    reported = 0

    def checkpoint() -> Report:
        nonlocal reported
        seconds = spent + time.monotonic() - begun
        state = {"loop": trial.loop.state_dict(), "start": trial.fingerprints, "seconds": seconds, "starts": starts}
        state["core_seconds"] = worked + time.process_time() - from_core
        folder.save_checkpoint(trial.loop.progress.step, state)
        since, reported = reported, len(trial.loop.progress.history)
        return _report(trial, seconds, since)

    try:
        yield from _improve(trial, folder, checkpoint)
        error = None
    except DivergedError as divergence:
        error = str(divergence)
    finally:
        trial.loop.close()
    if error is None and not trial.over:
        return

    best = trial.loop.best if spec.cell.images is not None else None
    stored = None if best is None else store_images(best, config.package)
    patients = patient_pseudonyms(context, spec.cell.stage)
    result = describe_result(spec, trial.loop, trial.data.split, error, patients)
    result["attempt"] = folder.attempt
    waits = error is None and trial.waits
    result["stopped"] = trial.stopped or waits
    result["ended"] = "diverged" if error else trial.ended
    result["rung"] = len(spec.taken_up) + 1 if waits else None
    result["starts"] = starts  # the step at which each start of this trial began; [0] where nothing interrupted it
    result["seconds"] = spent + time.monotonic() - begun
    result["core_seconds"] = worked + time.process_time() - from_core
    result["fresh"] = _fresh(trial, patients, device) if best is not None and error is None else []
    result["finished"] = now()
    result["gpus"] = gpus
    result["peak_memory_mib"] = _peak_memory_mib(device)
    result["device_memory_mib"] = _device_memory_mib(device)
    result["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    result["micro_batch"] = config.compute.micro_batch
    result["inner_graphs"] = trial.learner.memory
    if config.privacy.noise is not None:
        result["epsilon"] = config.privacy.epsilon(
            steps=trial.loop.progress.step,
            batch_size=trial.loop.settings.batch_size,
            patients=len(trial.data.split.train),
        )
    if best is not None and stored is not None:
        result |= _share(trial, best, *stored, result, folder)
    if spec.cell.stage and spec.phase == "confirm" and trial.loop.best is not None:
        folder.save(WEIGHTS, to_bytes(list(trial.fingerprints), trial.loop.best.state))
    folder.finish(result, keep_checkpoint=waits)


def _fresh(trial: _Trial, pseudonyms: list[str], device: torch.device) -> list[dict[str, Any]]:
    """Scores of other starts and networks on the best state's images; of confirm trials, where asked for."""
    spec, config, best = trial.spec, trial.context.config, trial.loop.best
    if spec.phase != "confirm" or spec.cell.stage or not config.evaluate.starts or best is None:
        return []
    return fresh_scores(
        spec.cell, best.state, trial.data, TASKS[spec.task], config.evaluate,
        lambda network: score_fresh(trial.loop, network, trial.data.split, pseudonyms),
        seed=spec.seed, device=device,
    )  # fmt: skip


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
        if trial.loop.progress.step % trial.loop.settings.checkpoint_every == 0 or trial.over:
            yield checkpoint()


def _report(trial: _Trial, seconds: float, since: int) -> Report:
    best = trial.loop.best
    return {
        "step": trial.loop.progress.step,
        "steps": trial.loop.settings.steps,
        "seconds": seconds,
        "score": best.score if best else 0.0,
        "history": trial.loop.progress.history[since:],
    }


def _share(
    trial: _Trial, best: Best, original: torch.Tensor, cost: Stored, result: dict[str, Any], folder: TrialFolder
) -> dict[str, Any]:
    """Write the package of a distillation; what its result says of it.

    Args:
        original, cost: the images before they were stored, and what that cost.
        result: what was measured of the best state, with the images as they are stored.
    """
    spec, cell, config = trial.spec, trial.spec.cell, trial.context.config
    distill, data, task = spec.distill(config.distill), trial.data, TASKS[config.task]
    start = Start(cell.backbone, cell.norm, trial.start, spec.seed, trial.fingerprints)
    package = package_of(
        best,
        start,
        data,
        distill=distill,
        inner_precision=config.compute.inner_precision,
        patches=config.patches,
        delta=result["delta"],
        stored=cost,
        claims=claims(
            data,
            result["validation"],
            result["test"],
            images=cost.images,
            paper=config.protocol == "paper",
            fold=cell.fold,
        ),
    )
    metadata = dict(vars(footprint(parameter_count(trial.network), package.images, package.theta_bn)))
    metadata["rates"] = package.rates.tolist()
    if METHODS[cell.method].no_package is None:
        packed = complete(package, start, original, weights=config.package.weights)
        content = to_file(packed, config.package)
        folder.save(PACKAGE, content)
        cost = packed.stored
        metadata["shared_bytes"] = len(content)
        metadata["spread"] = packed.self_test.spread if packed.self_test else None  # how chaotic its inner steps are
    if cost.images != "float32":
        scores = {"val_hm_before": best.score, "val_hm": task.main_score(result["validation"])}
        metadata["stored"] = asdict(cost) | scores
    return metadata


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what an earlier trial of this process left
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: start the resident peak anew for a reused worker


def _device_memory_mib(device: torch.device) -> float | None:
    """Total memory of the GPU."""
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
