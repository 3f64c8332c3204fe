"""Settings of a trial's resources and of a study's budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class ResourceSettings:
    """What one trial takes, and how many run at once. None of it changes a result but ``threads``."""

    cpus_per_trial: Annotated[float, Gt(0)] = 1
    """CPUs that Ray sets aside for a trial."""
    gpus_per_trial: Annotated[float, Ge(0)] | Literal["auto"] = "auto"
    """A share of a GPU, such as 0.5 for two trials on one; auto: where the cluster has any, a whole one for the first
    trial of a cell, and for later ones what that took, as ``trials_per_gpu`` allows."""
    trials_per_gpu: Annotated[int, Ge(1)] = 4
    """The most trials that share a GPU."""
    threads: Annotated[int, Ge(1)] = 1
    """PyTorch threads a trial. Results are the same only for the same number: training is chaotic."""
    concurrent: Annotated[int, Ge(1)] | None = None
    """Trials at once; as many as fit unless given. Give it for a cluster that grows."""
    retries: Annotated[int, Ge(0)] = 2
    """Times that a trial is tried again after an error or the loss of its machine."""
    feature_cache: Annotated[float, Ge(0)] = 8
    """GiB in ``data.cache``, on every machine, for features of real patches where only the last layer changes: all
    trials of a start have them; and for all experts of ``mtt``. Those that were used longest ago go first. 0: none is
    kept."""


@dataclass(frozen=True)
class BudgetSettings:
    """Where the command ends although trials are left. None of it changes a result; all of it may change between
    starts."""

    trials: Annotated[int, Ge(1)] | None = None
    """Trials of the study, over all starts, that are begun, also those that fail or diverge; those that were superseded
    are not counted. Running ones finish."""
    hours: Annotated[float, Gt(0)] | None = None
    """Wall time of one start of the command, from when trials may begin: a night, or what a reservation leaves.
    Running trials write their checkpoints and stop. The next start has as much again."""
    gpu_hours: Annotated[float, Gt(0)] | None = None
    """Hours of trials times the GPUs that each holds, over all starts and with those that run. Running trials write
    their checkpoints and stop. Trials without a GPU use none of it; work that was lost with its machine, and confirm
    trials that were superseded, are not counted."""
    price: Annotated[float, Ge(0)] | None = None
    """Price of one machine for an hour. ``--dry-run`` turns it into the study's price, at as many trials at once as
    run on the machine that it is called on. It stops nothing."""
