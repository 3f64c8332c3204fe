"""Reference networks for membership attacks: made like the attacked one, of patients who are known.

A patient's loss under the attacked network is compared with that under references that never saw the patient. There
are two kinds.

``halves``: the distillation (or training) is made anew on halves of the training patients, a half and its complement at
a time. A patient who trained is unseen by one of each two. A held-out patient is unseen by both, and is compared with
one of them, drawn at random. So both groups are compared with as many references, made in the same way.

``folds``: where folds rotate, the study's own packages of the other folds and seeds, each of which left some patients
out. These cannot be as even: those who trained are compared with networks of other patients, held-out ones with
networks of the same patients and another seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from sldd.backbones.norms import load_statistics
from sldd.data.split import Split
from sldd.errors import InputError
from sldd.package.rebuild.rebuild import rebuild
from sldd.privacy_attacks.patient_losses import PatientFeatures, patient_features
from sldd.privacy_attacks.report import Candidates
from sldd.privacy_attacks.views import Views
from sldd.rng import stream
from sldd.training.outer_loop import DivergedError
from study.config.tasks import TASKS
from study.trial.context import TrialContext, trial_data
from study.trial.finished_study import Confirmed, OpenedStudy
from study.trial.running_trial import build_trial


@dataclass(frozen=True)
class References:
    """Losses of other networks on a package's candidates.

    Attributes:
        kind: where they come from.
        losses: (references, patients).
        unseen: (references, patients) bool, where the patient had no part in making the network, and is to be compared.
    """

    kind: Literal["halves", "folds"]
    losses: np.ndarray
    unseen: np.ndarray


def views_of(context: TrialContext, trial: Confirmed) -> Views:
    """What a trial saw of patients.

    Raises:
        InputError: no attack here is about its task.
    """
    views = trial_data(context, trial.spec.cell.fold).views
    if views is None:
        raise InputError(
            f"{trial.name}: its package is of task={context.config.task}, which no attack here is about; they are "
            "about patches of patients, and images of one class each"
        )
    return views


def read_package(
    study: OpenedStudy, trial: Confirmed, views: Views, patients: Sequence[int], device: torch.device
) -> tuple[PatientFeatures, torch.nn.Module]:
    """Rebuild a package's network; returns its features of patients, and the network."""
    network = rebuild(study.package(trial), study.start_file(trial)).to(device)
    batch = study.config.outer.score_batch
    return patient_features(network, network, views, patients, batch=batch, device=device), network


class FoldReferences:
    """The packages of a study whose folds rotate, each read once."""

    def __init__(self, study: OpenedStudy, device: torch.device) -> None:
        self._study, self._device = study, device
        self._losses: dict[str, np.ndarray] = {}

    def of(self, trial: Confirmed, candidates: Candidates) -> References | None:
        """References of a trial: all others of its cell, over folds and seeds; None where there are none."""
        others = self._study.other_folds(trial)
        if not others:
            return None
        unseen = []
        for other in others:
            split = trial_data(self._study.context, other.spec.cell.fold).split
            unseen.append(np.isin(candidates.patients, split.test))
        losses = np.stack([self._read(other)[candidates.patients] for other in others])
        return References("folds", losses, np.stack(unseen))

    def _read(self, trial: Confirmed) -> np.ndarray:
        """(cohort's patients,) losses."""
        if trial.name not in self._losses:
            views = views_of(self._study.context, trial)
            everyone = range(self._study.cohort.patients)
            self._losses[trial.name] = read_package(self._study, trial, views, everyone, self._device)[0].losses
        return self._losses[trial.name]


def halves(
    trial: Confirmed,
    context: TrialContext,
    candidates: Candidates,
    split: Split,
    *,
    count: int,
    seed: int,
    device: torch.device,
    say: Callable[[str], None],
) -> References:
    """Distil (or train) anew on ``count`` halves of the training patients, with the trial's settings and very start.

    Args:
        split: the trial's; its validation patients choose the references' states too.
        count: an even number.
        say: told after each.

    Raises:
        InputError: a half has too few patients, or a distillation diverges before its first evaluation.
    """
    training = np.array(split.train)
    labels = candidates.views.labels[training]
    losses, unseen = [], []
    for pair in range(count // 2):
        random = stream(seed, "anonymity", "halves", pair)
        order = [random.permutation(training[labels == label]) for label in np.unique(labels)]
        first = sorted(np.concatenate([patients[: len(patients) // 2] for patients in order]).tolist())
        second = sorted(set(split.train) - set(first))
        turn = random.integers(2, size=len(candidates.held_out))  # which of the two a held-out patient is compared with
        for number, half in enumerate((first, second)):
            losses.append(made_anew(trial, context, candidates, half, split, device))
            unseen.append(np.concatenate([~np.isin(candidates.training, half), turn == number]))
            say(f"{trial.name}: reference {len(losses)} of {count}")
    return References("halves", np.stack(losses), np.stack(unseen))


def made_anew(
    trial: Confirmed,
    context: TrialContext,
    candidates: Candidates,
    training: list[int],
    split: Split,
    device: torch.device,
) -> np.ndarray:
    """(candidates,) losses of the network that comes of a trial's settings and start on these training patients.

    Raises:
        InputError: it diverges before its first evaluation.
    """
    config, division = context.config, Split(training, split.validation, split.test)
    data = TASKS[config.task].data(candidates.views.cohort, config.patches, division)
    loop = build_trial(trial.spec, context, device, trial.folder.parent.parent, data).loop
    try:
        while not loop.finished:
            loop.advance()
    except DivergedError as error:
        if loop.best is None:
            raise InputError(f"{trial.name}: a reference diverged ({error}); measure without --references") from None
    finally:
        loop.close()
    assert loop.best is not None
    learner, best = loop.learner, loop.best
    weights = learner.weights(best.state)
    load_statistics(learner.network, best.theta_bn)
    network = learner.network.eval()
    read = patient_features(
        lambda images: learner.forward(weights, images),
        network,
        data.views,
        candidates.patients,
        batch=config.outer.score_batch,
        device=device,
    )
    return read.losses
