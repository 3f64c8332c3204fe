"""A trial that runs: its network, learner and outer loop, built from its settings, and whether it is over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ledger.storage import Folder
from sldd.backbones.init import layer_fingerprints
from sldd.backbones.start import PRETRAINED, start_of
from sldd.errors import InputError
from sldd.package.format.signature import read_private
from sldd.training.dp_sgd import PrivateGradient, check_accountant
from sldd.training.learner import Learner
from sldd.training.outer_loop import OuterLoop
from sldd.training.outer_settings import OuterSettings
from study.config.methods import METHODS, private_refusal
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.config.tasks.base import TaskData
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext, trial_data, weights_file
from study.trial.early_stopping import is_below
from study.trial.network import build_network, mixed_bodies, set_transfer_start


@dataclass
class RunningTrial:
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
) -> RunningTrial:
    """A trial at its beginning; on other patients than its own where ``data`` is theirs.

    Args:
        trials: the folder of all trials of the study, whose networks it may start from.
    """
    config, cell = context.config, spec.cell
    if config.package.key is not None:
        read_private(Path(config.package.key))  # found missing now rather than when all is done
    data = data or trial_data(context, cell.fold, cell.stage)
    network = build_network(cell, data.input)
    word = PRETRAINED if mixed_bodies(cell) else cell.start
    start = weights_file(context, start_of(cell.backbone, word, config.pretrained))
    set_transfer_start(network, spec, start, data.input.classes, trials)
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
    return RunningTrial(spec, context, network, start, fingerprints, learner, loop, data)


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
