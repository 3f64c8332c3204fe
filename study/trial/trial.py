"""Runs one trial: take its outer steps, write checkpoints, result and package."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, NotRequired, TypedDict

import torch

from ledger.trial_folder import CARD, PACKAGE, WEIGHTS, TrialFolder, now
from sldd.backbones.registry import parameter_count
from sldd.backbones.start import check_start
from sldd.distillation.footprint import footprint
from sldd.package import Stored
from sldd.package.export.model_card import card_beside
from sldd.pipeline.packing import Start, claims, complete, header_of, package_of, store_images, to_file
from sldd.training.outer_loop import Best, DivergedError
from study.config.methods import METHODS
from study.config.tasks import TASKS
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext, patient_pseudonyms
from study.trial.fresh import fresh_scores
from study.trial.memory import device_memory_mib, peak_memory_mib, reset_peak_memory, with_less_memory
from study.trial.network import to_bytes
from study.trial.result import describe_result, score_fresh
from study.trial.running_trial import RunningTrial, build_trial

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


def run_trial(spec: TrialSpec, context: TrialContext, folder: TrialFolder, gpus: float = 0.0) -> Iterator[Report]:
    """Run or resume a trial, checkpoint as it goes, and write its result; without one where the study is stopping."""
    config = context.config
    config.compute.apply(config.resources.threads)
    device = _device(gpus)
    reset_peak_memory(device)
    spent = _Spent()  # from here on: a core set looks at patches while its trial is built
    trial = build_trial(spec, context, device, folder.trials)
    spent, starts = _resume(trial, folder, device, spent)
    reported = 0

    def checkpoint() -> Report:
        nonlocal reported
        cost = spent.cost()
        state = {"loop": trial.loop.state_dict(), "start": trial.fingerprints, "starts": starts, **cost}
        state["paid"] = spent.all_paid
        folder.save_checkpoint(trial.loop.progress.step, state)
        since, reported = reported, len(trial.loop.progress.history)
        return _report(trial, cost["seconds"], since)

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
    fresh: list[dict[str, Any]] = folder.measured().get("rows", [])
    for row in _fresh(trial, patients, device, len(fresh)) if error is None else ():
        fresh.append(row)
        folder.save_measured({"rows": fresh} | spent.cost())
        yield _report(trial, spent.cost()["seconds"], reported)
        if folder.stopping():
            return
    result = describe_result(spec, trial.loop, trial.data.split, error, patients)
    result |= _ending(trial, error) | {"attempt": folder.attempt, "starts": starts, "fresh": fresh}
    result |= spent.cost() | {"finished": now(), "gpus": gpus} | _machine(trial, device)
    if best is not None and stored is not None:
        result |= _share(trial, best, *stored, result, folder)
    if spec.cell.stage and spec.phase == "confirm" and trial.loop.best is not None:
        folder.save(WEIGHTS, to_bytes(list(trial.fingerprints), trial.loop.best.state))
    folder.finish(result, keep_checkpoint=result["rung"] is not None)


def _device(gpus: float) -> torch.device:
    if gpus and not torch.cuda.is_available():
        # Of a machine that joined later (``nodes.check_gpus``). The next try may be on another one.
        raise RuntimeError(
            f"PyTorch {torch.__version__} cannot use the GPU of {socket.gethostname()} that Ray has found"
        )
    return torch.device("cuda" if gpus else "cpu")


@dataclass(frozen=True)
class _Spent:
    """Wall and core seconds of a trial: what its earlier starts took, and a clock of this one.

    Results that other trials made and this one uses (``Method.lent``) are charged to it as if it had made them, once.
    Otherwise the trial that comes first would look expensive, and all others cheap.

    Attributes:
        seconds, core_seconds: of the earlier starts.
        paid: numbers of the shared results that these core seconds contain, whoever made them.
        lent: core seconds of the shared results that this start has used, by number; 0 for those that it made itself.
    """

    seconds: float = 0.0
    core_seconds: float = 0.0
    paid: tuple[int, ...] = ()
    lent: Callable[[], Mapping[int, float]] = dict
    _begun: float = field(default_factory=time.monotonic)
    _core_begun: float = field(default_factory=time.process_time)

    def cost(self) -> dict[str, float]:
        """Seconds and core seconds of all starts until now."""
        lent = sum(seconds for number, seconds in self.lent().items() if number not in self.paid)
        return {
            "seconds": self.seconds + time.monotonic() - self._begun,
            "core_seconds": self.core_seconds + time.process_time() - self._core_begun + lent,
        }

    @property
    def all_paid(self) -> list[int]:
        """Numbers of the shared results that the core seconds of all starts until now contain."""
        return sorted({*self.paid, *self.lent()})


def _resume(trial: RunningTrial, folder: TrialFolder, device: torch.device, spent: _Spent) -> tuple[_Spent, list[int]]:
    """Go on from a trial's last checkpoint, where it has one.

    Args:
        spent: the clock of this start.

    Returns:
        The clock with what earlier starts took, and the outer step at which each start began: [0] for a trial that
        was never interrupted.
    """
    saved, measured = folder.load_checkpoint(device) or {}, folder.measured()
    if saved:
        check_start(trial.network, saved["start"], f"checkpoint of {folder.name}")
        trial.loop.load_state_dict(saved["loop"])
    # Checkpoints from before they were counted have no core seconds.
    taken = {name: measured.get(name, saved.get(name, 0.0)) for name in ("seconds", "core_seconds")}
    lent = partial(METHODS[trial.spec.cell.method].lent, trial.learner)
    spent = replace(spent, **taken, paid=tuple(saved.get("paid", ())), lent=lent)
    return spent, [*saved.get("starts", ()), trial.loop.progress.step]


def _ending(trial: RunningTrial, error: str | None) -> dict[str, Any]:
    """Why a trial that is over ended, whether before its time, and the rung at which it waits."""
    waits = error is None and trial.waits
    return {
        "stopped": trial.stopped or waits,
        "ended": "diverged" if error else trial.ended,
        "rung": len(trial.spec.taken_up) + 1 if waits else None,
    }


def _machine(trial: RunningTrial, device: torch.device) -> dict[str, Any]:
    """Where a trial ran, the memory that it took, and epsilon where it was private."""
    config = trial.context.config
    described: dict[str, Any] = {
        "peak_memory_mib": peak_memory_mib(device),
        "device_memory_mib": device_memory_mib(device),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "micro_batch": config.compute.micro_batch,
        "inner_graphs": trial.learner.memory,
    }
    if config.privacy.noise is not None:
        described["epsilon"] = config.privacy.epsilon(
            steps=trial.loop.progress.step,
            batch_size=trial.loop.settings.batch_size,
            patients=len(trial.data.split.train),
        )
    return described


def _fresh(trial: RunningTrial, pseudonyms: list[str], device: torch.device, known: int) -> Iterator[dict[str, Any]]:
    """Scores of other starts and networks on the best state's images, but for those ``known``; of confirm trials of a
    distillation, where asked for."""
    spec, config, best = trial.spec, trial.context.config, trial.loop.best
    if spec.phase != "confirm" or spec.cell.stage or spec.cell.images is None or best is None:
        return iter(())
    return fresh_scores(
        spec.cell, best.state, trial.data, TASKS[spec.task], config.evaluate,
        lambda network: score_fresh(trial.loop, network, trial.data.split, pseudonyms),
        seed=spec.seed, device=device, known=known, retriable=with_less_memory(config) is not None,
    )  # fmt: skip


def _improve(trial: RunningTrial, folder: TrialFolder, checkpoint: Callable[[], Report]) -> Iterator[Report]:
    """Take all outer steps that are left, or those until the study stops, with a report after every checkpoint."""
    every, share = trial.loop.settings.checkpoint_every, trial.loop.settings.checkpoint_share
    polled = time.monotonic()
    due = 0.0  # no checkpoint before this time
    while not trial.over:
        trial.loop.advance()
        if time.monotonic() - polled > _STOP_POLL_SECONDS:
            polled = time.monotonic()
            if folder.stopping():
                yield checkpoint()
                return
        begun = time.monotonic()
        if trial.over or (trial.loop.progress.step % every == 0 and begun >= due):
            report = checkpoint()
            ended = time.monotonic()
            # Writing, which took (ended - begun), may be this share of the time: before the next, steps take the rest.
            due = 0.0 if share is None else ended + (ended - begun) * (1 / share - 1)
            yield report


def _report(trial: RunningTrial, seconds: float, since: int) -> Report:
    best = trial.loop.best
    return {
        "step": trial.loop.progress.step,
        "steps": trial.loop.settings.steps,
        "seconds": seconds,
        "score": best.score if best else 0.0,
        "history": trial.loop.progress.history[since:],
    }


def _share(
    trial: RunningTrial, best: Best, original: torch.Tensor, cost: Stored, result: dict[str, Any], folder: TrialFolder
) -> dict[str, Any]:
    """Write the package of a distillation; what its result says of it.

    Args:
        original, cost: the images before they were stored, and what that cost.
        result: what was measured of the best state, with the images as they are stored.
    """
    spec, cell, config = trial.spec, trial.spec.cell, trial.context.config
    distill, data, task = spec.distill(config.distill), trial.data, TASKS[config.task]
    start = Start(cell.backbone, cell.norm, trial.start, spec.seed, trial.fingerprints)
    precision, delta = config.compute.inner_precision, result["delta"]
    header = header_of(start, data, distill=distill, inner_precision=precision, patches=config.patches, delta=delta)
    package = package_of(
        best,
        header,
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
    if config.privacy.noise is not None:
        package = replace(package, sides=())  # epsilon does not cover the sizes of training patients' films
    metadata = dict(vars(footprint(parameter_count(trial.network), package.images, package.theta_bn)))
    metadata["rates"] = package.rates.tolist()
    if METHODS[cell.method].no_package is None:
        packed = complete(package, start, original, weights=config.package.weights)
        content = to_file(packed, config.package)
        folder.save(PACKAGE, content)
        if spec.phase == "confirm":
            folder.save(CARD, card_beside(content).encode())
        cost = packed.stored
        metadata["shared_bytes"] = len(content)
        metadata["spread"] = packed.self_test.spread if packed.self_test else None  # how chaotic its inner steps are
    if cost.images != "float32":
        scores = {"val_hm_before": best.score, "val_hm": task.main_score(result["validation"])}
        metadata["stored"] = asdict(cost) | scores
    return metadata
